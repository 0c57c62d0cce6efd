// NDJSON whose records are kept as positions, compared with the same lines read one by one.
import fc from 'fast-check';
import t from 'tap';
import { parseLines, type RequestRecords } from '../../../src/core/records/record-input.ts';
import { spreadRecords } from '../../../src/core/records/request-batches.ts';
import { LineBatch, scanSimpleLines } from '../../../src/core/records/simple-lines.ts';
import { effectiveConfig } from '../../../src/core/records/topic-config.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { runSteps } from '../../../src/core/steps.ts';

type TopicOverrides = Parameters<typeof effectiveConfig>[0];
type Piece = Parameters<LineBatch['fill']>[0];

const limits = { records: 5, bytes: 120 };

const asIs = (bytes: Buffer, firstLine: number): Piece => parseLines(bytes, firstLine);
const byPositions = (bytes: Buffer, firstLine: number): Piece =>
  runSteps(scanSimpleLines(bytes, firstLine)) ?? parseLines(bytes, firstLine);

/** The batches that a stream of pieces gives, each a list of whole lines. */
function batchesOf(pieces: readonly Buffer[], read: typeof asIs): RequestRecords[] {
  const batch = new LineBatch(limits);
  const batches: RequestRecords[] = [];
  let line = 1;
  for (const bytes of pieces) {
    const piece = read(bytes, line);
    line += piece.lineCount;
    const count = 'positions' in piece ? piece.count : piece.records.length;
    for (let next = batch.fill(piece, 0); next < count; next = batch.fill(piece, next))
      batches.push(batch.take().records);
  }
  if (batch.count > 0) batches.push(batch.take().records);
  return batches;
}

function spread(records: RequestRecords, config: TopicOverrides, requestedPartition: number | undefined) {
  const { batches, ...rest } = spreadRecords(records, {
    topic: { name: 'topic', config: effectiveConfig(config) },
    partitionCount: 7,
    requestedPartition,
    chooseKeylessPartition: () => 3,
    checkPartition: (partition) => {
      if (partition > 6) throw new ServiceError('UNKNOWN_PARTITION', `no partition ${partition}`);
    },
  });
  return { ...rest, batches: [...batches].sort(([a], [b]) => a - b) };
}

function outcomeOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof ServiceError) return [error.code, error.message, error.fields];
    throw error;
  }
}

const text = fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }));
const number = fc.constantFrom('0', '-0', '1e400', '123456789012345678901234567890', '0.1e-7', '01', '1.', '+1');
const value = fc.oneof(
  { weight: 5, arbitrary: fc.json() },
  number,
  text.map((one) => JSON.stringify(one)),
);
const member = fc.oneof(
  { weight: 6, arbitrary: value.map((one) => `"value":${one}`) },
  { weight: 6, arbitrary: text.map((one) => `"key":${JSON.stringify(one)}`) },
  fc.constantFrom(
    '"key":null',
    '"key":1',
    '"key":"\\u0061"',
    '"keyBase64":"aGk="',
    '"partition":2',
    '"timestamp":1e12',
  ),
  fc.constantFrom('"headers":{"a":"b"}', '"valueBase64":"aGk="', '"other":1', '"v\\u0061lue":2', '"partition":9'),
);
const space = fc.constantFrom('', '', '', '', ' ', '  ', '\t');
const record = fc.tuple(fc.array(member, { minLength: 0, maxLength: 3 }), space).map(([members, gap]) => {
  return `${gap}{${gap}${members.join(`,${gap}`)}}${gap}`;
});
const simple = fc
  .record({ key: text, value: fc.jsonValue() }, { requiredKeys: ['value'] })
  .map((one) => JSON.stringify(one));
const broken = fc.constantFrom(
  '',
  ' ',
  '{}',
  '{',
  '}',
  '[]',
  '1',
  '{"value":1}{"value":2}',
  '{"value":"a\u0000b"}',
  '{"value":1} x',
);
const lines = fc.array(fc.oneof({ weight: 30, arbitrary: simple }, { weight: 4, arbitrary: record }, broken), {
  minLength: 1,
  maxLength: 12,
});
const lineEnd = fc.constantFrom('\n', '\n', '\n', '\r\n');

t.test('positions give the batches that lines read one by one give, byte for byte, or the same error', async (t) => {
  let simplePieces = 0;
  fc.assert(
    fc.property(
      fc.array(lines, { minLength: 1, maxLength: 4 }),
      lineEnd,
      fc.constantFrom<TopicOverrides>({}, {}, { 'cleanup.policy': 'compact' }, { 'max.message.bytes': '60' }),
      fc.constantFrom(undefined, undefined, 0, 9),
      (given, end, config, partition) => {
        const pieces = given.map((piece) => Buffer.from(piece.join(end)));
        const outcome = (read: typeof asIs) =>
          outcomeOf(() => batchesOf(pieces, read).map((batch) => outcomeOf(() => spread(batch, config, partition))));
        const found = outcome((bytes, firstLine) => {
          const piece = byPositions(bytes, firstLine);
          if ('positions' in piece && piece.count > 0) simplePieces += 1;
          return piece;
        });
        t.same(found, outcome(asIs));
      },
    ),
    { numRuns: 500 },
  );
  t.ok(simplePieces > 100, `${simplePieces} pieces had only simple records`);
});

t.test('keyless lines stay together in the bytes as they were received', async (t) => {
  const body = '{"value":1}\n{"value":{"a":[2]}}\n{"value":"é"}\n';
  const [batch] = batchesOf([Buffer.from(body), Buffer.from('{"value":4}')], byPositions);
  t.equal(batch!.kind, 'positioned');
  const { batches } = spread(batch!, {}, undefined);
  t.same(
    batches.map(([partition, { count, records }]) => [partition, count, records.toString()]),
    [[3, 4, `${body}{"value":4}`]],
  );
});

t.test('a record that is not simple makes its batch records one by one, and no other batch', async (t) => {
  const simples = '{"value":1}\n{"key":"k","value":2}';
  const other = '{"value":3,"headers":{"a":"b"}}';
  const kinds = batchesOf(
    [simples, other, simples, simples, simples].map((piece) => Buffer.from(piece)),
    byPositions,
  );
  t.same(
    kinds.map(({ kind }) => kind),
    ['separate', 'positioned'],
  );
});

t.test('invalid UTF-8 and a key that is too large are refused with the number of their line', async (t) => {
  const invalid = Buffer.concat([Buffer.from('{"value":1}\n{"value":"'), Buffer.from([0xff]), Buffer.from('"}')]);
  t.match(
    outcomeOf(() => byPositions(invalid, 8)),
    ['BAD_REQUEST', /line 9 is not valid UTF-8/],
  );
  const large = Buffer.from(`{"value":1}\n{"key":"${'k'.repeat(1024 * 1024 + 1)}","value":1}`);
  t.match(
    outcomeOf(() => byPositions(large, 1)),
    ['TOO_LARGE', /line 2\.key has 1048577 bytes/],
  );
  t.same(
    outcomeOf(() => byPositions(large, 1)),
    outcomeOf(() => asIs(large, 1)),
  );
});
