// What a reader of batches gets, at every offset and limit, against records that are put together one by one.
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { decompressCut } from '../../../src/broker/log/batch-compression.ts';
import { BatchLines } from '../../../src/core/records/batch-lines.ts';
import { cutBatches, FetchedBatches } from '../../../src/core/records/fetched-batches.ts';
import { readBatches } from '../../helpers/batches.ts';

/** Values of the lines of a batch; undefined is a record that compaction has removed, which the first and last are not. */
const batch = fc.record({
  gap: fc.oneof(fc.constant(0), fc.nat({ max: 12 })),
  isCompressed: fc.boolean(),
  lines: fc
    .tuple(fc.string(), fc.array(fc.option(fc.string(), { nil: undefined }), { maxLength: 12 }), fc.string())
    .map(([first, between, last]) => (between.length === 0 ? [first] : [first, ...between, last])),
});

function build(start: number, batches: { gap: number; isCompressed: boolean; lines: (string | undefined)[] }[]) {
  let next = start;
  const found = batches.map(({ gap, isCompressed, lines }) => {
    const baseOffset = next + gap;
    next = baseOffset + lines.length;
    const text = Buffer.from(lines.map((value) => (value === undefined ? '' : JSON.stringify({ value }))).join('\n'));
    const records = isCompressed ? gzipSync(text) : text;
    return new BatchLines({ baseOffset, count: lines.length, timestamp: 7, records });
  });
  const model = batches.flatMap(({ lines }, i) =>
    lines.flatMap((value, index) => (value === undefined ? [] : [{ offset: found[i]!.baseOffset + index, value }])),
  );
  return { found, model };
}

function decompressed({ baseOffset, count, timestamp, bytes, isCompressed }: BatchLines): BatchLines {
  return new BatchLines({ baseOffset, count, timestamp, records: isCompressed ? gunzipSync(bytes) : bytes });
}

t.test('batches have the records from the offset on, and whole ones except at the ends', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(batch, { minLength: 1, maxLength: 5 }),
      fc.nat({ max: 60 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 600 }),
      fc.option(fc.nat({ max: 90 }), { nil: undefined }),
      async (stored, from, maxRecords, maxBytes, end) => {
        const { found, model } = build(10, stored);
        const batches = found.filter(({ baseOffset, count }) => baseOffset + count > from);
        const limits = { maxRecords, maxBytes, ...(end !== undefined && { end }) };
        const fetched = new FetchedBatches(await decompressCut(batches, from, limits), from, limits);
        const read = readBatches(Buffer.concat(fetched.parts('"partition":3')));

        const wanted = model.filter(({ offset }) => offset >= from && offset < (end ?? Infinity));
        const got = read.records.map(({ offset, value }) => ({ offset, value }));
        t.same(got, wanted.slice(0, got.length), 'records from the offset on, none left out');
        if (wanted.length > 0) t.ok(got.length > 0, 'at least one');
        t.ok(read.batches.every(({ head }) => head.partition === 3 && head.timestamp === 7));
        const form = new FetchedBatches(batches.map(decompressed), from, limits);
        const { elements } = JSON.parse(form.enclosed('{"elements":[', '],"more":1}').toString());
        t.same(
          elements.flatMap(({ baseOffset, records }: any) =>
            records.flatMap((record: any, i: number) => (record ? [{ offset: baseOffset + i, ...record }] : [])),
          ),
          model.filter(({ offset }) => offset >= (form.firstOffset ?? form.nextOffset) && offset < form.nextOffset),
          'the same as elements of a JSON array',
        );
        t.ok(elements.every(({ count, records }: any) => count === records.length));
        t.equal(
          fetched.count,
          read.batches.reduce((sum, { head }) => sum + head.count, 0),
        );
        t.equal(
          fetched.bytes,
          read.batches.reduce((sum, { head }) => sum + head.bytes, 0),
        );
        t.equal(fetched.firstOffset, read.batches[0]?.head.baseOffset);
        t.ok(fetched.count <= maxRecords);
        t.ok(fetched.bytes <= maxBytes || got.length === 1, 'within the bytes, except for a single record');
        const rest = model.filter(({ offset }) => offset >= from).slice(got.length);
        t.equal(fetched.isCut, rest.length > 0);
        t.ok(
          rest.every(({ offset }) => offset >= fetched.nextOffset),
          'the next read goes on behind them',
        );
        for (const { head } of read.batches.slice(1, -1)) {
          t.ok(
            found.some(({ baseOffset, count }) => baseOffset === head.baseOffset && count === head.count),
            'whole',
          );
        }
      },
    ),
    { numRuns: 500 },
  );
});

t.test('a whole batch is passed on without a look at its lines', async (t) => {
  const compressed = gzipSync(Buffer.from('{"value":1}\n{"value":2}'));
  const batches = [0, 2, 4].map(
    (baseOffset) => new BatchLines({ baseOffset, count: 2, timestamp: 1, records: compressed }),
  );
  const limits = { maxRecords: 100, maxBytes: 1000 };
  t.same(cutBatches(batches, 0, limits), []);
  t.same(cutBatches(batches, 1, limits), [batches[0]]);
  t.equal(await decompressCut(batches, 0, limits), batches);
  const parts = new FetchedBatches(batches, 0, limits).parts('"partition":0');
  t.equal(parts[1], compressed, 'the stored bytes themselves');
});

t.test('a batch that was merged with earlier ones between two reads returns no record twice', async (t) => {
  const of = (baseOffset: number, count: number) =>
    new BatchLines({
      baseOffset,
      count,
      timestamp: 1,
      records: Buffer.from(Array(count).fill('{"value":1}').join('\n')),
    });
  const limits = { maxRecords: 100, maxBytes: 10_000 };
  const offsets = (batches: BatchLines[]) =>
    readBatches(Buffer.concat(new FetchedBatches(batches, 12, limits).parts('"a":1'))).records.map(
      ({ offset }) => offset,
    );
  t.same(offsets([of(10, 5), of(8, 9)]), [12, 13, 14, 15, 16]);
  t.same(offsets([of(10, 5), of(10, 3), of(15, 1)]), [12, 13, 14, 15]);
});
