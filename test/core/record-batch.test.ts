import fc from 'fast-check';
import t from 'tap';
import { BatchLines } from '../../src/core/batch-lines.ts';
import { FetchedRecords } from '../../src/core/fetched-records.ts';
import {
  buildRecord,
  type EncodedRecord,
  parseRecord,
  parseRecords,
  withoutTimestamp,
} from '../../src/core/record-batch.ts';
import { ServiceError } from '../../src/core/service-error.ts';

/** The records as a fetch answers them, from a batch of these records that begins at `baseOffset`. */
function fetched(records: readonly EncodedRecord[], baseOffset = 0): string[] {
  const lines = Buffer.from(records.map(({ line }) => line).join('\n'));
  const batch = new BatchLines({ baseOffset, count: records.length, timestamp: 1000, records: lines });
  const all = { maxRecords: records.length, maxBytes: Number.POSITIVE_INFINITY };
  return new FetchedRecords([batch], baseOffset, all).lines().toString().trimEnd().split('\n');
}

function problemOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ServiceError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'none';
}

t.test('a record keeps the text that it came with', async (t) => {
  const text =
    '{"key":"k","value":{"big":123456789012345678901234567890,"e":1E5,"z":-0,"u":"\\u00e9é"},"headers":{"a":"b"}}';
  t.equal(parseRecord(text, 'line 1').line, text);
  t.same(fetched([parseRecord(text, 'line 1')], 7), [`{"offset":7,"timestamp":1000,${text.slice(1)}`]);
});

t.test('each record of a list keeps its text, wherever it stands', async (t) => {
  const body = '{ "records" : [ {"value":1.0} ,{"value":"],}\\"{["}, { "value" : [ {"a":"\\\\"} , [] ] } ] }';
  t.same(
    parseRecords(body).records.map(({ line }) => line),
    ['{"value":1.0}', '{"value":"],}\\"{["}', '{ "value" : [ {"a":"\\\\"} , [] ] }'],
  );
});

t.test('a record becomes one line, and its texts stay as they are', async (t) => {
  const { records } = parseRecords('{"records":[{\n  "key": "a",\r\n\t"value": {\n    "text": "x  \\n y"\n  }\n}]}');
  t.equal(records[0]!.line, '{"key": "a","value": {"text": "x  \\n y"}}');
});

t.test('partition is left out, and a timestamp of its own stands first', async (t) => {
  const record = parseRecord('{"value":10000000000000000000001,"partition":3,"timestamp":5}', 'line 1');
  t.equal(record.partition, 3);
  t.equal(record.timestamp, 5);
  t.same(fetched([record]), ['{"offset":0,"timestamp":5,"value":10000000000000000000001}']);
  t.same(fetched([withoutTimestamp(record)]), ['{"offset":0,"timestamp":1000,"value":10000000000000000000001}']);
  const bare = parseRecord('{"timestamp":5}', 'line 1');
  t.same(fetched([bare, withoutTimestamp(bare)]), ['{"offset":0,"timestamp":5}', '{"offset":1,"timestamp":1000}']);
});

t.test('a record of nothing is a tombstone without a key', async (t) => {
  t.same(fetched([parseRecord('{ }', 'line 1'), parseRecord('{"partition":1}', 'line 2')]), [
    '{"offset":0,"timestamp":1000}',
    '{"offset":1,"timestamp":1000}',
  ]);
});

t.test('names of fields count as they mean, not as they are written', async (t) => {
  const record = parseRecord('{"\\u0076alue":1,"p\\u0061rtition":2}', 'line 1');
  t.equal(record.partition, 2);
  t.equal(record.line, '{"value":1}');
});

t.test('the key is text, bytes, or none', async (t) => {
  t.equal(parseRecord('{"key":"é"}', 'line 1').key, 'é');
  t.same(parseRecord('{"keyBase64":"AP8="}', 'line 1').key, Buffer.from([0, 255]));
  t.equal(parseRecord('{"key":null}', 'line 1').key, undefined);
  t.equal(parseRecord('{"key":""}', 'line 1').key, '');
});

t.test('what is wrong is named', async (t) => {
  const cases: [string, RegExp][] = [
    ['[1]', /must be a record/],
    ['{"value":1', /line 1 is not JSON/],
    ['{"vlaue":1}', /unknown field 'vlaue'/],
    ['{"__proto__":{}}', /unknown field '__proto__'/],
    ['{"value":1,"value":2}', /a field comes twice/],
    ['{"value":1,"valueBase64":"aGk="}', /value or valueBase64, not both/],
    ['{"key":"a","keyBase64":"aGk="}', /key or keyBase64, not both/],
    ['{"key":1}', /line 1\.key must be a string/],
    ['{"valueBase64":"a"}', /line 1\.valueBase64 must be base64/],
    ['{"valueBase64":7}', /line 1\.valueBase64 must be base64/],
    ['{"keyBase64":"a==="}', /line 1\.keyBase64 must be base64/],
    ['{"partition":-1}', /line 1\.partition must be a whole number/],
    ['{"timestamp":1.5}', /line 1\.timestamp must be a whole number/],
    ['{"timestamp":null}', /line 1\.timestamp must be a whole number/],
    ['{"headers":"a"}', /line 1\.headers must be an object/],
    ['{"headers":{"a":1}}', /line 1\.headers\.a: the value of a header/],
    ['{"headers":{"a":{"base64":"?"}}}', /line 1\.headers\.a\.base64 must be base64/],
    ['{"headers":[["a"]]}', /line 1\.headers\.0 must be a pair/],
  ];
  for (const [text, problem] of cases)
    t.match(
      problemOf(() => parseRecord(text, 'line 1')),
      problem,
      text,
    );
  t.match(
    problemOf(() => parseRecords('7')),
    /must be an object with the records/,
  );
  t.match(
    problemOf(() => parseRecords('{"records":{}}')),
    /list of records/,
  );
  t.match(
    problemOf(() => parseRecords('{"records":[]}')),
    /records is empty/,
  );
  t.match(
    problemOf(() => parseRecords('{"records":[{}],"records":[{}]}')),
    /records twice/,
  );
  t.match(
    problemOf(() => parseRecords('{"records":[{},3]}')),
    /records\.1 must be an object/,
  );
});

t.test('headers are an object, or pairs where a name comes twice', async (t) => {
  const pairs = '{"headers":[["a","1"],["a",null],["b",{"base64":"AA=="}]]}';
  t.equal(parseRecord(pairs, 'line 1').line, pairs);
  const raw = buildRecord({
    value: 'x',
    key: 'k',
    headers: [
      ['a', '1'],
      ['a', '2'],
    ],
  });
  t.equal(raw.line, '{"key":"k","value":"x","headers":[["a","1"],["a","2"]]}');
  t.equal(buildRecord({ value: 'x', headers: [['a', '1']] }).line, '{"value":"x","headers":{"a":"1"}}');
  t.equal(buildRecord({ value: Buffer.from([255]) }).line, '{"valueBase64":"/w=="}');
});

t.test('any records come back as the same JSON, in their order', async (t) => {
  const record = fc.record(
    { key: fc.string({ unit: 'binary' }), value: fc.jsonValue(), headers: fc.dictionary(fc.string(), fc.string()) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 8 }), fc.nat({ max: 3 }), (records, indent) => {
      const body = JSON.stringify({ records }, null, indent);
      const answers = fetched(parseRecords(body).records, 5).map((text) => JSON.parse(text));
      // What is compared went the same way, through JSON: it knows no minus zero.
      const expected = records.map((one, index) => ({ offset: 5 + index, timestamp: 1000, ...one }));
      t.same(answers, JSON.parse(JSON.stringify(expected)));
    }),
    { numRuns: 300 },
  );
});

t.test('any text is either read or refused as BAD_REQUEST', async (t) => {
  const almost = fc.tuple(fc.json(), fc.nat(), fc.string({ maxLength: 2 })).map(([json, at, noise]) => {
    const body = `{"records":[{"key":"a","value":${json}}]}`;
    const cut = at % body.length;
    return body.slice(0, cut) + noise + body.slice(cut + noise.length);
  });
  const unexpected: string[] = [];
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), almost), (text) => {
      const problem = problemOf(() => parseRecords(text));
      if (!/^(none$|BAD_REQUEST)/.test(problem)) unexpected.push(`${text}: ${problem}`);
    }),
    { numRuns: 2000 },
  );
  t.same(unexpected, []);
});
