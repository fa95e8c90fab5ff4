/**
 * One class per kind of failure, so that a caller can tell a wrong argument from a full memory.
 *
 * Messages name the argument, what was wanted and what came:
 * `filter: expected rank 4 [kh,kw,ci,co], got [3,3,8]`.
 */

/** The base of every error thrown by this backend. */
export class MulayerError extends Error {
  /** The class's own, so that a message shows the kind of failure. */
  override name = 'MulayerError';
}

/** A `MULAYER_*` flag was given a value it does not have. */
export class FlagError extends MulayerError {
  override name = 'FlagError';
}

/** An argument of a kernel has a shape, rank or dtype the kernel is not defined for. */
export class ArgumentError extends MulayerError {
  override name = 'ArgumentError';
}

/** A tensor was used after it was disposed. */
export class DisposedError extends MulayerError {
  override name = 'DisposedError';
}

/** Neither processor has room for a value. Everything allocated for it has been freed. */
export class MemoryError extends MulayerError {
  override name = 'MemoryError';
}

/** The device or browser lacks what was asked for, for example a GPU texture without WebGL. */
export class UnsupportedError extends MulayerError {
  override name = 'UnsupportedError';
}

/** A device profile holds a number that no device has: negative, zero, none at all. */
export class ProfileError extends MulayerError {
  override name = 'ProfileError';
}
