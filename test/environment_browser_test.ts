/**
 * What the browsers of `npm test` have. A browser that lost its WebGL would go on passing every
 * spec, on the CPU; these say that both processors, and both instruction sets, were there.
 */
const { userAgent } = navigator;
const isWebKit = userAgent.includes('AppleWebKit') && !userAgent.includes('Chrom');

/** A module whose one function is `i32x4.relaxed_dot_i8x16_i7x16_add_s(0, 0, 0)`. */
const RELAXED = new Uint8Array(
  [
    [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    // type: () -> v128; function 0 has it
    [1, 5, 1, 0x60, 0, 1, 0x7b],
    [3, 2, 1, 0],
    // code: three times `i32.const 0, i8x16.splat`, then the relaxed dot
    [10, 19, 1, 17, 0],
    ...[1, 2, 3].map(() => [0x41, 0, 0xfd, 0x0f]),
    [0xfd, 0x93, 0x02, 0x0b],
  ].flat(),
);

describe('environment', () => {
  it('has WebGL 2', () => {
    const context = document.createElement('canvas').getContext('webgl2');
    expect(context).not.toBeNull();
  });

  it('isolates the page', () => {
    expect(crossOriginIsolated).toBe(true);
  });

  it('has shared memory, but for WebKitGTK', () => {
    expect(typeof SharedArrayBuffer).toBe(isWebKit ? 'undefined' : 'function');
  });

  it('has relaxed SIMD, but for WebKitGTK', () => {
    expect(WebAssembly.validate(RELAXED)).toBe(!isWebKit);
  });
});
