// Records that are kept as positions in the received bytes, compared with the same records one by one.
import fc from 'fast-check';
import t from 'tap';
import { partitionForKey } from '../../../src/core/records/partitioner.ts';
import { bytesAsText, type EncodedRecord } from '../../../src/core/records/record-fields.ts';
import { parseRecords } from '../../../src/core/records/record-input.ts';
import { spreadRecords } from '../../../src/core/records/request-batches.ts';
import { effectiveConfig } from '../../../src/core/records/topic-config.ts';
import { ServiceError } from '../../../src/core/service-error.ts';

type SpreadOptions = Parameters<typeof spreadRecords>[1];
type TopicOverrides = Parameters<typeof effectiveConfig>[0];

function optionsOf(partitionCount: number, requestedPartition?: number, config: TopicOverrides = {}): SpreadOptions {
  return {
    topic: { name: 'topic', config: effectiveConfig(config) },
    partitionCount,
    requestedPartition,
    chooseKeylessPartition: () => partitionCount - 1,
    checkPartition: () => undefined,
  };
}

/** A key without escapes: its JSON is itself in quotes. */
const key = fc.string({ unit: 'grapheme' }).filter((text) => JSON.stringify(text) === `"${text}"`);
const record = fc
  .record({ key, value: fc.jsonValue() }, { requiredKeys: [] })
  .filter((one) => Object.keys(one).length > 0);

function outcomeOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof ServiceError) return [error.code, error.message, error.fields];
    throw error;
  }
}

t.test('positions give the batches that the records one by one give, byte for byte', async (t) => {
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(',', ' , '),
      fc.boolean(),
      fc.constantFrom<TopicOverrides>({}, { 'cleanup.policy': 'compact' }, { 'max.message.bytes': '60' }),
      (records, partitionCount, separator, namesPartition, config) => {
        const lines = records.map((one) => JSON.stringify(one));
        const { records: read } = parseRecords(Buffer.from(`{"records":[${lines.join(separator)}]}`));
        const separate: EncodedRecord[] = records.map((one, index) => ({
          line: bytesAsText(lines[index]!),
          key: one.key === undefined ? undefined : bytesAsText(one.key),
          partition: undefined,
          timestamp: undefined,
        }));
        const options = optionsOf(partitionCount, namesPartition ? 0 : undefined, config);
        const expected = outcomeOf(() => spreadRecords({ kind: 'separate', records: separate }, options));
        t.same(
          outcomeOf(() => spreadRecords(read, options)),
          expected,
        );
        const isContiguous = separator === ',' || records.length === 1;
        const hasKey = records.some((one) => one.key !== undefined);
        t.equal(read.kind, hasKey || !isContiguous ? 'positioned' : 'contiguous');
      },
    ),
    { numRuns: 500 },
  );
});

t.test('the partition of a key within a text is that of the key', async (t) => {
  fc.assert(
    fc.property(key, fc.string(), fc.integer({ min: 1, max: 1000 }), (name, around, count) => {
      const [before, bytes] = [bytesAsText(around), bytesAsText(name)];
      const text = before + bytes + before;
      t.equal(partitionForKey(text, count, before.length, before.length + bytes.length), partitionForKey(bytes, count));
    }),
  );
});
