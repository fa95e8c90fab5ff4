/**
 * tfjs's own wasm backend, with its .wasm files inside the bundle: whoever imports this has the
 * backend `wasm`, and nobody has a path to serve.
 */
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm';
import threadedSimd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm';
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm';

const url = (bytes: Uint8Array) =>
  URL.createObjectURL(new Blob([bytes as BlobPart], { type: 'application/wasm' }));

setWasmPaths({
  'tfjs-backend-wasm.wasm': url(plain),
  'tfjs-backend-wasm-simd.wasm': url(simd),
  'tfjs-backend-wasm-threaded-simd.wasm': url(threadedSimd),
});
