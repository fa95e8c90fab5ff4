/**
 * The specs of tfjs-core that are not run here: the one list, with the reason of each. A spec is
 * out when its full name, its suite's included, holds the words.
 */
export const EXCLUSIONS: readonly { readonly words: string; readonly reason: string }[] = [];
