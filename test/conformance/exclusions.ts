/**
 * The specs of tfjs-core that are not run here: the one list, with the reason of each. A spec is
 * out when its full name, its suite's included, holds the words.
 */
interface Exclusion {
  readonly words: string;
  readonly reason: string;
}

/** H.264, constrained baseline, level 1. */
const VIDEO = 'video/mp4; codecs="avc1.42c00a"';

const canPlay = (type: string): boolean =>
  typeof document === 'undefined' || document.createElement('video').canPlayType(type) !== '';

export const EXCLUSIONS: readonly Exclusion[] = canPlay(VIDEO)
  ? []
  : [{ words: 'fromPixels for HTMLVideoElement', reason: 'no H.264 decoder on this machine' }];
