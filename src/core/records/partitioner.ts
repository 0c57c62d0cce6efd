/**
 * Kafka's default partitioner for records with a key. It gives exactly the same partitions, so that each key stays in its
 * partition when a topic is migrated from Kafka. The caller chooses the partition of records without a key.
 */

const multiplier = 0x5bd1e995;
const seed = 0x9747b28c;

/**
 * The 32-bit murmur2 hash with Kafka's seed, as a signed integer; the same as Kafka's Utils.murmur2.
 * @param bytes a latin1 string: each character is one byte; the part from `start` up to `end` is hashed
 */
export function murmur2(bytes: string, start = 0, end = bytes.length): number {
  const length = end - start;
  const wholeEnd = start + (length & ~3);
  let h = seed ^ length;
  let i = start;
  for (; i < wholeEnd; i += 4) {
    let k = bytes.charCodeAt(i) | (bytes.charCodeAt(i + 1) << 8);
    k |= (bytes.charCodeAt(i + 2) << 16) | (bytes.charCodeAt(i + 3) << 24);
    k = Math.imul(k, multiplier);
    k ^= k >>> 24;
    h = Math.imul(h, multiplier) ^ Math.imul(k, multiplier);
  }
  const rest = end - wholeEnd;
  if (rest === 3) h ^= bytes.charCodeAt(i + 2) << 16;
  if (rest >= 2) h ^= bytes.charCodeAt(i + 1) << 8;
  if (rest >= 1) h = Math.imul(h ^ bytes.charCodeAt(i), multiplier);
  h ^= h >>> 13;
  h = Math.imul(h, multiplier);
  return h ^ (h >>> 15);
}

/**
 * The partition of a record, from 0 to `partitionCount` - 1.
 * @param key the bytes of the key as a latin1 string, or a text that has them from `start` up to `end`
 * @param partitionCount at least 1
 */
export function partitionForKey(key: string, partitionCount: number, start?: number, end?: number): number {
  // As in Kafka, the sign bit is cleared. The absolute value would give other partitions for negative hashes.
  return (murmur2(key, start, end) & 0x7fffffff) % partitionCount;
}
