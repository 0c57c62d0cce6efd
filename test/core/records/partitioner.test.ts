import fc from 'fast-check';
import t from 'tap';
import { murmur2, partitionForKey } from '../../../src/core/records/partitioner.ts';

const asText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** From Kafka's own test of murmur2, and the partitions that follow from it: key, hash, % 3, % 6, % 8, % 10. */
const vectors: [string, number, number, number, number, number][] = [
  ['21', -973932308, 0, 0, 4, 0],
  ['foobar', -790332482, 0, 0, 6, 6],
  ['a-little-bit-long-string', -985981536, 2, 2, 0, 2],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971, 2, 5, 5, 7],
  ['abc', 479470107, 0, 3, 3, 7],
  ['', 275646681, 0, 3, 1, 1],
  ['a', -1563381124, 1, 4, 4, 4],
  ['kafka', -798503068, 1, 4, 4, 0],
  ['key1', 28543940, 2, 2, 4, 0],
];

t.test('keys hash and go to partitions as in Kafka', async (t) => {
  for (const [key, hash, of3, of6, of8, of10] of vectors) {
    t.equal(murmur2(key), hash, `murmur2 of '${key}'`);
    t.same(
      [3, 6, 8, 10].map((count) => partitionForKey(key, count)),
      [of3, of6, of8, of10],
      `partitions of '${key}'`,
    );
  }
});

t.test('bytes above 127 are unsigned, at each position of a word and in the rest', async (t) => {
  // Java masks each byte with 0xff; the same hash by 64-bit arithmetic, step by step, is the reference here.
  const mask = 0xffffffffn;
  const reference = (bytes: Uint8Array): number => {
    const m = 0x5bd1e995n;
    let h = 0x9747b28cn ^ BigInt(bytes.length);
    const words = bytes.length >> 2;
    for (let i = 0; i < words; i++) {
      let k = 0n;
      for (let j = 3; j >= 0; j--) k = (k << 8n) | BigInt(bytes[i * 4 + j]!);
      k = (k * m) & mask;
      k ^= k >> 24n;
      k = (k * m) & mask;
      h = ((h * m) & mask) ^ k;
    }
    const rest = bytes.subarray(words * 4);
    for (let j = rest.length - 1; j >= 0; j--) h ^= BigInt(rest[j]!) << BigInt(8 * j);
    if (rest.length > 0) h = (h * m) & mask;
    h ^= h >> 13n;
    h = (h * m) & mask;
    h ^= h >> 15n;
    return Number(BigInt.asIntN(32, h));
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => murmur2(asText(bytes)) === reference(bytes)),
    { numRuns: 1000 },
  );
  t.ok(true);
});

t.test('the partition is an integer from 0 to the number of partitions minus one', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 10_000 }), (key, count) => {
      const partition = partitionForKey(asText(key), count);
      return Number.isInteger(partition) && partition >= 0 && partition < count;
    }),
  );
  t.equal(partitionForKey('anything', 1), 0);
});

t.test('many keys spread over all partitions about evenly', async (t) => {
  const counts = new Array<number>(12).fill(0);
  for (let i = 0; i < 12_000; i++) counts[partitionForKey(`user-${i}`, 12)]!++;
  for (const [partition, count] of counts.entries()) {
    t.ok(count > 850 && count < 1150, `partition ${partition} has ${count} of 12,000`);
  }
});
