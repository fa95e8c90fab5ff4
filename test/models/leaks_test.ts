/**
 * Inference after inference, nothing is left behind. Ten here; `npm run bench -- accuracy` does 200
 * of each net.
 */
import { type Problem, onMulayer, problemsOf, set } from './judge.js';
import { growth, holdingsAfterEach } from './leaks.js';
import type { LoadedNet, NetName } from './nets.js';

const TIMES = 10;

/** The smallest net split in two; the largest graph on the CPU alone, because of the time it takes. */
const TABLE: { net: NetName; picture: string; split: number }[] = [
  { net: 'faceres', picture: 'face1', split: 0.5 },
  { net: 'centernet', picture: 'people', split: 1 },
];

for (const { net, picture, split } of TABLE) {
  describe(`${TIMES} inferences of ${net} with ${split} of each layer on the CPU`, () => {
    let problem: Problem;
    let loaded: LoadedNet;

    beforeAll(async () => {
      [problem] = await problemsOf(net, [picture]);
      loaded = await onMulayer(net);
    }, 120_000);

    afterAll(() => loaded?.dispose());

    for (const precision of ['float32', 'int8'] as const) {
      it(`leave nothing behind in ${precision}`, async () => {
        set({ split, precision });
        expect(growth(await holdingsAfterEach(loaded, problem, TIMES))).toEqual([]);
      }, 300_000);
    }
  });
}
