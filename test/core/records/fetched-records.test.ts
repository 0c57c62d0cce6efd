// What a reader gets of stored batches, at every offset and limit, against records that are put together one by one.
import fc from 'fast-check';
import t from 'tap';
import { BatchLines } from '../../../src/core/records/batch-lines.ts';
import { FetchedRecords } from '../../../src/core/records/fetched-records.ts';

interface Model {
  offset: number;
  json: string;
}

/** Lines as they are stored; an empty one is a record that compaction has removed. */
const line = fc.oneof(
  { weight: 6, arbitrary: fc.record({ key: fc.string(), value: fc.jsonValue() }, { requiredKeys: [] }) },
  { weight: 2, arbitrary: fc.record({ timestamp: fc.nat(), value: fc.string({ unit: 'grapheme' }) }) },
  { weight: 1, arbitrary: fc.record({ timestamp: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant({}) },
  { weight: 2, arbitrary: fc.constant(undefined) },
);
const batch = fc.record({
  gap: fc.oneof(fc.constant(0), fc.nat({ max: 12 })),
  timestamp: fc.integer({ min: 1, max: 2_000_000_000_000 }),
  lines: fc.array(line, { minLength: 1, maxLength: 13 }),
});
const log = fc.record({
  start: fc.oneof(fc.nat({ max: 120 }), fc.integer({ min: 9_990, max: 10_010 })),
  batches: fc.array(batch, { minLength: 1, maxLength: 5 }),
});

function build({ start, batches }: { start: number; batches: { gap: number; timestamp: number; lines: unknown[] }[] }) {
  const model: Model[] = [];
  let next = start;
  const found = batches.map(({ gap, timestamp, lines }) => {
    const baseOffset = next + gap;
    for (const [index, record] of lines.entries()) {
      const offset = baseOffset + index;
      if (record === undefined) continue;
      model.push({ offset, json: JSON.stringify({ offset, timestamp, ...(record as object) }) });
    }
    next = baseOffset + lines.length;
    const records = Buffer.from(lines.map((one) => (one === undefined ? '' : JSON.stringify(one))).join('\n'));
    return new BatchLines({ baseOffset, count: lines.length, timestamp, records });
  });
  return { found, model, end: next };
}

/** The bytes that limits count: from after the offset on. */
const sizeOf = ({ offset, json }: Model) => Buffer.byteLength(json) - `{"offset":${offset},`.length;

t.test('a fetch returns the records from its offset on, up to its limits', async (t) => {
  fc.assert(
    fc.property(
      log,
      fc.nat({ max: 90 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 3000 }),
      (stored, skip, maxRecords, maxBytes) => {
        const { found, model, end } = build(stored);
        const from = Math.min(stored.start + skip, end);
        const batches = found.filter(({ baseOffset, count }) => baseOffset + count > from);
        const records = new FetchedRecords(batches, from, { maxRecords, maxBytes });

        const wanted = model.filter(({ offset }) => offset >= from);
        let bytes = 0;
        const expected = wanted.filter((record, index) => {
          bytes += sizeOf(record);
          return index < maxRecords && (index === 0 || bytes <= maxBytes);
        });
        const texts = expected.map(({ json }) => json);
        t.equal(records.array(), `[${texts.join(',')}]`);
        t.equal(records.lines().toString(), texts.map((text) => `${text}\n`).join(''));
        t.same(
          records.records.map(({ offset, line: rest }) => `{"offset":${offset},${rest}`),
          texts,
        );
        t.equal(records.count, expected.length);
        t.equal(
          records.bytes,
          expected.reduce((sum, record) => sum + sizeOf(record), 0),
        );
        t.equal(records.firstOffset, expected[0]?.offset);
        t.equal(records.isCut, expected.length < wanted.length);
        t.equal(records.nextOffset, wanted[expected.length]?.offset ?? Math.max(from, batches.length > 0 ? end : 0));
        const half = records.first(Math.floor(expected.length / 2));
        t.equal(half.array(), `[${texts.slice(0, half.count).join(',')}]`);
      },
    ),
    { numRuns: 300 },
  );
});

t.test('a batch that was merged with earlier ones between two reads returns no record twice', async (t) => {
  const of = (baseOffset: number, count: number) =>
    new BatchLines({ baseOffset, count, timestamp: 1, records: Buffer.from('{"value":1}\n'.repeat(count)) });
  const limits = { maxRecords: 100, maxBytes: 10_000 };
  const offsets = ({ records }: FetchedRecords) => records.map(({ offset }) => offset);
  t.same(offsets(new FetchedRecords([of(10, 5), of(8, 9)], 12, limits)), [12, 13, 14, 15, 16]);
  const covered = new FetchedRecords([of(10, 5), of(10, 3), of(15, 1)], 12, limits);
  t.same(offsets(covered), [12, 13, 14, 15]);
  t.equal(covered.nextOffset, 16);
});

t.test(
  'keys are compared by their bytes, however they are written, and a record without a value is a tombstone',
  async (t) => {
    const cases: [line: string, key: string | undefined, isTombstone: boolean][] = [
      ['{"key":"k","value":1}', 'k', false],
      ['{"key":"k"}', 'k', true],
      ['{"timestamp":5,"key":"k"}', 'k', true],
      ['{"timestamp":5,"key":"k","valueBase64":"AA=="}', 'k', false],
      ['{"keyBase64":"aw==","value":1}', 'k', false],
      ['{"keyBase64":"aw=="}', 'k', true],
      ['{ "value" : {"key":"x"} , "key" : "k" }', 'k', false],
      ['{"key":"k","headers":{"value":"x"}}', 'k', true],
      ['{"key":"k","headers":{},"value":null}', 'k', false],
      ['{"\\u006bey":"\\u006b","v\\u0061lue":1}', 'k', false],
      ['{"key":"a\\"b","value":1}', 'a"b', false],
      ['{"key":"é"}', 'Ã©', true],
      ['{"keyBase64":"w6k="}', 'Ã©', true],
      ['{"key":"","value":1}', '', false],
      ['{"key":null,"value":1}', undefined, false],
      ['{"value":1}', undefined, false],
      ['{"timestamp":5}', undefined, true],
      ['{}', undefined, true],
    ];
    for (const [text, key, isTombstone] of cases) {
      // What comes behind a line must not be taken for a part of it.
      const records = Buffer.from(`${text}\n{"key":"other","value":2}`);
      const lines = new BatchLines({ baseOffset: 0, count: 2, timestamp: 1, records });
      t.same(lines.keyOf(0), { key, isTombstone }, text);
    }
  },
);
