/** 16-bit floats on the host, where not every browser has Float16Array. */

/**
 * Numbers as 16-bit floats (IEEE 754 binary16), rounded to the nearest, ties to even; beyond the
 * range: NaN, but for infinity, as in `store` of the programs.
 */
export function toHalves(numbers: Float32Array): Uint16Array {
  const bits = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  const halves = new Uint16Array(numbers.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const size = bits[i] & 0x7fffffff;
    if (size === 0x7f800000) halves[i] = sign | 0x7c00;
    else if (size > 0x477fe000) halves[i] = sign | 0x7e00;
    else if (size >= 0x38800000) {
      halves[i] = sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
    } else {
      // Below 2^-14 a half is a multiple of 2^-24. Adding 0.5 puts the unit there: it rounds.
      SUM[0] = Math.abs(numbers[i]) + 0.5;
      halves[i] = sign | (SUM_BITS[0] - 0x3f000000);
    }
  }
  return halves;
}

const SUM = new Float32Array(1);
const SUM_BITS = new Uint32Array(SUM.buffer);
