/**
 * tfjs-core's specs look for the environments to run in while their modules are evaluated, so this
 * comes before them: backends, gradients and chained methods registered, the environment named, the
 * exclusions in force.
 */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js';
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import { setTestEnvs, setupTestFilters } from '@tensorflow/tfjs-core/dist/jasmine_util.js';

import '../../src/index.js';
import { options } from '../options.js';
import { EXCLUSIONS } from './exclusions.js';

// tfjs-core's own limit; what it sets reaches only its own copy of jasmine.
jasmine.DEFAULT_TIMEOUT_INTERVAL = 20_000;

setTestEnvs([
  {
    name: options.backend,
    backendName: options.backend,
    flags: { ...options.flags },
    isDataSync: true,
  },
]);
setupTestFilters([], name => !EXCLUSIONS.some(({ words }) => name.includes(words)));
