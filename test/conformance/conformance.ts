/**
 * tfjs-core's own specs, all of them, on our backend.
 *
 * tfjs-core decides while loading which of its specs a platform gets, so how many there are depends
 * on the platform. The counts are asserted: a spec that went missing would pass unnoticed.
 */
import './set_up.js';
import '@tensorflow/tfjs-core/dist/tests.js';
import { env } from '@tensorflow/tfjs-core';

import { options } from '../options.js';

/**
 * Specs of tfjs-core 4.22.0, before the exclusions. Some are for browsers alone, some of these for
 * Chromium alone, and two for the backend `cpu` alone.
 */
function expectedCount(): number {
  const forCpu = options.backend === 'cpu' ? 2 : 0;
  if (env().platformName === 'node') return 4230 + forCpu;
  return (env().getBool('IS_CHROME') ? 4381 : 4356) + forCpu;
}

function countSpecs(suite: jasmine.Suite): number {
  return suite.children.reduce(
    (count, child) => count + ('children' in child ? countSpecs(child) : 1),
    0,
  );
}

const count = countSpecs(jasmine.getEnv().topSuite());

describe('tfjs-core', () => {
  it('brings all its specs', () => {
    expect(count).toBe(expectedCount());
  });
});
