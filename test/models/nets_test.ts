/**
 * Real nets, unchanged, on mulayer: in float32 the numbers are tfjs's within F16's rounding, in int8
 * the answers are.
 *
 * This is the short form: every net at one share on one picture, and every share on the smallest
 * net. `npm run bench -- accuracy` does all of them and prints the table.
 */
import type { LoadedNet, NetName } from './nets.js';
import { type Problem, FLOAT32_BOUND, hasPicture, judge, onMulayer, problemsOf } from './judge.js';

// WebGL in software takes seconds for an inference.
const MINUTES = 60_000;

interface Subject {
  readonly net: NetName;
  readonly picture: string;
  /** Where there is no apt to fetch the picture with. */
  readonly instead: string;
  /** `MULAYER_SPLIT`. */
  readonly shares: readonly number[];
  /**
   * Kernel calls that mulayer records, the layers it makes of them on the CPU, and the calls it
   * leaves to tfjs's own backends.
   */
  readonly recorded: number;
  readonly layers: number;
  readonly delegated: Readonly<Record<string, number>>;
}

const TABLE: readonly Subject[] = [
  {
    net: 'faceres',
    picture: 'face1',
    instead: 'face1',
    shares: [0, 0.25, 0.5, 0.75, 1],
    recorded: 154,
    layers: 32,
    delegated: {},
  },
  {
    net: 'esrgan',
    picture: 'fixture',
    instead: 'fixture',
    shares: [0, 0.5, 1],
    recorded: 25,
    layers: 21,
    delegated: {},
  },
  {
    net: 'centernet',
    picture: 'dog',
    instead: 'people',
    shares: [0, 0.5, 1],
    recorded: 265,
    layers: 166,
    delegated: {},
  },
  {
    net: 'inception',
    picture: 'dog',
    instead: 'people',
    shares: [0, 0.5],
    recorded: 317,
    layers: 128,
    delegated: {},
  },
  {
    net: 'nanodet',
    picture: 'dog',
    instead: 'people',
    shares: [0, 0.5],
    recorded: 235,
    layers: 201,
    // What is left in the graph of its padding arithmetic, on tensors of three integers.
    delegated: { SparseToDense: 6, Add: 6 },
  },
];

for (const { net, picture, instead, shares, recorded, layers, delegated } of TABLE) {
  describe(`${net} on mulayer`, () => {
    let problems: Problem[];
    let loaded: LoadedNet;

    beforeAll(async () => {
      problems = await problemsOf(net, [(await hasPicture(picture)) ? picture : instead]);
      loaded = await onMulayer(net);
    }, 2 * MINUTES);

    afterAll(() => loaded?.dispose());

    it(
      'records all but what the table names',
      async () => {
        const [{ report }] = await judge(loaded, problems, { split: 1, precision: 'auto' });
        expect(report.delegated).toEqual(delegated);
        expect(report.layers.reduce((n, { fused }) => n + 1 + fused.length, 0)).toBe(recorded);
        expect(report.layers.length).toBe(layers);
      },
      MINUTES,
    );

    for (const split of shares) {
      const title = `with ${split} of each layer on the CPU`;

      it(
        `gives tfjs's numbers in float32, ${title}`,
        async () => {
          const [got] = await judge(loaded, problems, { split, precision: 'float32' });
          expect(got.maxRelative).toBeLessThanOrEqual(FLOAT32_BOUND);
          expect(got.same).withContext(`${got.answer}; expected ${got.expectedAnswer}`).toBeTrue();
          if (got.psnr !== undefined) expect(got.psnr).toBeGreaterThan(55);
        },
        5 * MINUTES,
      );

      it(
        `gives tfjs's answer within the error budget, ${title}`,
        async () => {
          const [got] = await judge(loaded, problems, { split, precision: 'auto' });
          expect(got.same).withContext(`${got.answer}; expected ${got.expectedAnswer}`).toBeTrue();
          if (got.psnr !== undefined) expect(got.psnr).toBeGreaterThan(40);
        },
        5 * MINUTES,
      );

      it(
        `gives tfjs's answer in int8, ${title}`,
        async () => {
          const [got] = await judge(loaded, problems, { split, precision: 'int8' });
          const inInt8 = got.report.layers.filter(({ precision }) => precision === 'int8');
          expect(inInt8.length > 0).toBe(split > 0);
          // None of them has numbers beyond 16 bits.
          const onGpu = got.report.layers.filter(({ where }) => where === 'gpu');
          expect(onGpu.every(({ precision }) => precision === 'f16')).toBeTrue();
          expect(got.same).withContext(`${got.answer}; expected ${got.expectedAnswer}`).toBeTrue();
          if (got.psnr !== undefined) expect(got.psnr).toBeGreaterThan(40);
        },
        5 * MINUTES,
      );
    }
  });
}
