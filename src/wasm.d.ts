/** esbuild's `binary` loader: the file's bytes, inlined. */
declare module '*.wasm' {
  const bytes: Uint8Array;
  export default bytes;
}
