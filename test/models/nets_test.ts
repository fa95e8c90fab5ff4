/**
 * Real nets, unchanged, on mulayer: in float32 the numbers are tfjs's within F16's rounding, in int8
 * the answers are.
 *
 * This is the short form: every net at one share on one picture, and every share on the smallest
 * net. `node scripts/accuracy.mjs` does all of them and prints the table.
 */
import type { LoadedNet, NetName } from './nets.js';
import { type Problem, float32Bound, hasPicture, judge, onMulayer, problemsOf } from './judge.js';

// WebGL in software takes seconds for an inference.
const MINUTES = 60_000;

/** A picture each, and one that every system has. */
const TABLE: { net: NetName; picture: string; instead: string; shares: number[] }[] = [
  { net: 'faceres', picture: 'face1', instead: 'face1', shares: [0, 0.25, 0.5, 0.75, 1] },
  { net: 'esrgan', picture: 'fixture', instead: 'fixture', shares: [0.5, 1] },
  { net: 'centernet', picture: 'dog', instead: 'people', shares: [0.5, 1] },
  { net: 'inception', picture: 'dog', instead: 'people', shares: [0.5] },
  { net: 'nanodet', picture: 'dog', instead: 'people', shares: [0.5] },
];

for (const { net, picture, instead, shares } of TABLE) {
  describe(`${net} on mulayer`, () => {
    let problems: Problem[];
    let loaded: LoadedNet;

    beforeAll(async () => {
      problems = await problemsOf(net, [(await hasPicture(picture)) ? picture : instead]);
      loaded = await onMulayer(net);
    }, 2 * MINUTES);

    afterAll(() => loaded?.dispose());

    for (const split of shares) {
      const title = `with ${split} of each layer on the CPU`;

      it(
        `gives tfjs's numbers in float32, ${title}`,
        async () => {
          const [got] = await judge(loaded, problems, { split, precision: 'float32' });
          expect(got.maxRelative).toBeLessThanOrEqual(float32Bound(net, split));
          expect(got.same).withContext(`${got.answer}; expected ${got.expectedAnswer}`).toBeTrue();
          if (got.psnr !== undefined) expect(got.psnr).toBeGreaterThan(55);
        },
        5 * MINUTES,
      );

      it(
        `gives tfjs's answer in int8, ${title}`,
        async () => {
          const [got] = await judge(loaded, problems, { split, precision: 'int8' });
          const inInt8 = got.report.layers.filter(({ precision }) => precision === 'int8');
          expect(inInt8.length > 0).toBe(split > 0);
          expect(got.same).withContext(`${got.answer}; expected ${got.expectedAnswer}`).toBeTrue();
          if (got.psnr !== undefined) expect(got.psnr).toBeGreaterThan(40);
        },
        5 * MINUTES,
      );
    }
  });
}
