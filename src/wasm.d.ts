/** esbuild's `binary` loader: the file's bytes, inlined. */
declare module '*.wasm' {
  const bytes: Uint8Array;
  export default bytes;
}

/** The same of a file deflated (zlib's format), `scripts/build.mjs`. */
declare module '*.deflate' {
  const bytes: Uint8Array;
  export default bytes;
}

/** esbuild's `text` loader: the file's text, inlined. */
declare module '*.txt' {
  const text: string;
  export default text;
}
