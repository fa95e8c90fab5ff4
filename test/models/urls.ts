/**
 * Where a page finds what these specs and tables load. Whoever serves such a page serves the
 * project's folder under `/base/`, as karma does.
 */

/** `.models/`, filled by `scripts/models.mjs`. */
export const MODELS_URL = '/base/.models';

/** The .wasm files of tfjs's own wasm backend, with a slash at the end. */
export const TFJS_WASM_URL = '/base/node_modules/@tensorflow/tfjs-backend-wasm/dist/';
