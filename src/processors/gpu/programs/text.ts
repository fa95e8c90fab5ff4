/** GLSL and uniforms that several programs share. */
import type { Layout } from '../layout.js';

/**
 * Rounds to the nearest half before a store: the H200 truncates on stores to RGBA16F, a bias of
 * -2e-4 a layer, which would drift through a deep net. Costs nothing measurable.
 */
export const ROUND_HALF = `
vec4 store(vec4 v) {
  return vec4(unpackHalf2x16(packHalf2x16(v.xy)), unpackHalf2x16(packHalf2x16(v.zw)));
}
`;

/** S and D of a program. */
export function layoutInts({ n, h, w, c, columns, rows, groups, stride }: Layout) {
  return { S: [columns, rows, groups, stride], D: [n, h, w, c] };
}
