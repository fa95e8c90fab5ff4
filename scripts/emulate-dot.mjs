/**
 * The relaxed build as it runs on other machines. What relaxed SIMD leaves to the machine is replaced
 * by calls of functions that say it in plain SIMD, so that every machine, and engines without relaxed
 * SIMD, can run the specs of every kind of dot (`wasm/relaxed-dot-kind/probe.ts`):
 *
 *     i32x4.relaxed_dot_i8x16_i7x16_add_s  ──►  call $relaxed_dot      one of DOTS
 *     f32x4.relaxed_madd                   ──►  call $relaxed_madd     rounds twice
 *     i32x4.relaxed_trunc_f32x4_s          ──►  i32x4.trunc_sat_f32x4_s
 *
 * All else is the shipped module, instruction by instruction. Source of the semantics: WebAssembly
 * relaxed-simd proposal, "Relaxed integer dot product".
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { modified, writeDeflated } from './build.mjs';
import { SetupError } from './setup.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * a is signed; b is extended by `extension`; where `saturates`, the sums of pairs stay within 16
 * bits. Names are those of `MULAYER_DOT`: what the probe must find.
 */
const DOTS = {
  usdot: { extension: 'u', saturates: false },
  sdot: { extension: 's', saturates: false },
  usdot7: { extension: 'u', saturates: true },
  // 128 * 128 + 128 * 128 is the one sum of a pair beyond 16 bits.
  i16: { extension: 's', saturates: true },
};

/** Lanes 0, 2, 4, 6 and 1, 3, 5, 7 of two vectors of 32 bits, as bytes. */
const EVEN = [0, 2, 4, 6].flatMap(bytesOfLane).join(' ');
const ODD = [1, 3, 5, 7].flatMap(bytesOfLane).join(' ');

/** build/test/relaxed-*.wasm: the relaxed build with each kind of dot. Nothing is done twice. */
export async function emulateDots() {
  const newest = Math.max(modified('build/relaxed.wasm'), modified('scripts/emulate-dot.mjs'));
  mkdirSync(join(ROOT, 'build/test'), { recursive: true });
  for (const kind of Object.keys(DOTS)) {
    if (modified(`${fileOf(kind)}.deflate`) > newest) continue;
    const relaxed = readFileSync(join(ROOT, 'build/relaxed.wasm'));
    writeFileSync(join(ROOT, fileOf(kind)), await emulateDot(relaxed, kind));
    writeDeflated(fileOf(kind));
  }
}

const fileOf = kind => `build/test/relaxed-${kind}.wasm`;

/**
 * @param kind of DOTS; undefined: this machine's own
 * @returns plugins of esbuild that put its emulation where the relaxed build is asked for.
 */
export function withDot(kind) {
  if (kind === undefined) return [];
  if (!(kind in DOTS)) {
    throw new SetupError(`dot: expected ${Object.keys(DOTS).join(', ')}, got ${kind}`);
  }
  const path = join(ROOT, `${fileOf(kind)}.deflate`);
  const setup = ({ onResolve }) => {
    onResolve({ filter: /\/build\/relaxed\.wasm\.deflate$/ }, () => ({ path }));
  };
  return [{ name: 'emulated dot', setup }];
}

/** @returns the bytes of the module `relaxed`, with the dot `kind` of DOTS. */
async function emulateDot(relaxed, kind) {
  const { default: binaryen } = await import('assemblyscript/binaryen');
  const text = textOf(binaryen, relaxed)
    .replaceAll('i32x4.relaxed_dot_i8x16_i7x16_add_s', 'call $relaxed_dot')
    .replaceAll('f32x4.relaxed_madd', 'call $relaxed_madd')
    .replaceAll('i32x4.relaxed_trunc_f32x4_s', 'i32x4.trunc_sat_f32x4_s');
  const others = text.match(/\S*\.relaxed\S*/g);
  if (others) throw new Error(`emulate-dot: no emulation of ${[...new Set(others)].join(', ')}`);
  const end = text.lastIndexOf(')');
  const module = binaryen.parseText(`${text.slice(0, end)}${dot(DOTS[kind])}${MADD})`);
  module.setFeatures(binaryen.Features.All & ~binaryen.Features.RelaxedSIMD);
  try {
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

function textOf(binaryen, bytes) {
  const module = binaryen.readBinary(bytes);
  try {
    return module.emitText();
  } finally {
    module.dispose();
  }
}

/** Products fit 16 bits and sums of pairs 32: `i32x4.dot_i16x8_s` is exact. */
function dot({ extension, saturates }) {
  const pairs = half => {
    const sums = `(i32x4.dot_i16x8_s
      (i16x8.extend_${half}_i8x16_s (local.get $a))
      (i16x8.extend_${half}_i8x16_${extension} (local.get $b)))`;
    return saturates
      ? `(i32x4.max_s (v128.const i32x4 -32768 -32768 -32768 -32768)
         (i32x4.min_s (v128.const i32x4 32767 32767 32767 32767) ${sums}))`
      : sums;
  };
  return `(func $relaxed_dot (param $a v128) (param $b v128) (param $c v128) (result v128)
    (local $low v128) (local $high v128)
    (local.set $low ${pairs('low')})
    (local.set $high ${pairs('high')})
    (i32x4.add (local.get $c)
      (i32x4.add
        (i8x16.shuffle ${EVEN} (local.get $low) (local.get $high))
        (i8x16.shuffle ${ODD} (local.get $low) (local.get $high)))))`;
}

const MADD = `(func $relaxed_madd (param $a v128) (param $b v128) (param $c v128) (result v128)
  (f32x4.add (f32x4.mul (local.get $a) (local.get $b)) (local.get $c)))`;

function bytesOfLane(lane) {
  return [0, 1, 2, 3].map(byte => 4 * lane + byte);
}
