// The noise that samples are made of, number for number that of `ar_zoo/core/noise.py`: Philox 4x64-10 as NumPy runs it.

const WORD = (1n << 64n) - 1n;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const KEY_STEPS = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];
const ROUNDS = 10;
const PER_BLOCK = 4; // 64-bit numbers for each value of the counter

/**
 * Uniform numbers in (0, 1) for the sites start … stop - 1 of one row.
 *
 * @param {bigint} seed at least 0; it counts modulo 2^64, as in Python.
 * @param {number} row the row's number: 0 for a single sample.
 * @param {number} size how many numbers a site takes: the product of the head's `noise_shape`.
 * @returns {Float32Array} (stop - start) · size numbers, site after site.
 */
export function uniformNoise(seed, row, start, stop, size) {
  if (typeof seed !== "bigint" || seed < 0n) {
    throw new Error(`The seed must be a whole number of at least 0; got ${seed}.`);
  }
  const key = [seed & WORD, BigInt(row)];
  const blocks = Math.ceil(size / PER_BLOCK);
  const noise = new Float32Array((stop - start) * size);
  let at = 0;
  for (let site = start; site < stop; site++) {
    for (let block = 0, left = size; block < blocks; block++, left -= PER_BLOCK) {
      // NumPy counts up before it makes a block: the first one belongs to 1.
      const words = philox(BigInt(site * blocks + block + 1), key);
      for (let i = 0; i < Math.min(left, PER_BLOCK); i++) noise[at++] = (Number(words[i] >> 41n) + 0.5) * 2 ** -23;
    }
  }
  return noise;
}

/** The four words of one counter. Counters of 64 bits are enough here; the upper three words stay zero. */
function philox(counter, [k0, k1]) {
  let [c0, c1, c2, c3] = [counter, 0n, 0n, 0n];
  for (let round = 0; round < ROUNDS; round++) {
    const first = MULTIPLIERS[0] * c0;
    const second = MULTIPLIERS[1] * c2;
    [c0, c1, c2, c3] = [(second >> 64n) ^ c1 ^ k0, second & WORD, (first >> 64n) ^ c3 ^ k1, first & WORD];
    k0 = (k0 + KEY_STEPS[0]) & WORD;
    k1 = (k1 + KEY_STEPS[1]) & WORD;
  }
  return [c0, c1, c2, c3];
}
