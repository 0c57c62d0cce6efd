import fc from 'fast-check';
import t from 'tap';
import { hasControls, JsonScanner, noPosition } from '../../../src/core/json-scanner.ts';
import { BatchLines } from '../../../src/core/records/batch-lines.ts';
import { FetchedRecords } from '../../../src/core/records/fetched-records.ts';
import { bytesAsText, type EncodedRecord } from '../../../src/core/records/record-fields.ts';
import {
  buildRecord,
  parseLines,
  parseRecords,
  type RequestRecords,
  withoutTimestamp,
} from '../../../src/core/records/record-input.ts';
import { ServiceError } from '../../../src/core/service-error.ts';

const utf8 = (bytesAsText: string): string => Buffer.from(bytesAsText, 'latin1').toString();

/** One record, from a line of its own. */
const recordOf = (line: string): EncodedRecord => parseLines(Buffer.from(line), 1).records[0]!;

/** The records of a body; those that lie together have no more than their lines. */
function recordsOf(body: string): EncodedRecord[] {
  const { records } = parseRecords(Buffer.from(body));
  if (records.kind === 'separate') return records.records;
  return linesOf(records).map((line, index) => ({ ...keyless, line, key: keyOf(records, index) }));
}

/** The key of a record that is kept by its positions. */
function keyOf(records: RequestRecords, index: number): string | undefined {
  if (records.kind !== 'positioned') return undefined;
  const [, , start, end] = records.positions.slice(4 * index);
  return start! < 0 ? undefined : records.text.slice(start, end);
}

const keyless = { key: undefined, partition: undefined, timestamp: undefined };

/** The lines as a log keeps them. */
function linesOf(records: RequestRecords): string[] {
  if (records.kind === 'separate') return records.records.map(({ line }) => line);
  if (records.kind === 'contiguous') return records.lines.toString('latin1').split('\n');
  const { count, text, positions } = records;
  return Array.from({ length: count }, (_, index) => text.slice(positions[4 * index], positions[4 * index + 1]));
}

/** The records as a fetch returns them, from a batch of these records that begins at `baseOffset`. */
function fetched(records: readonly EncodedRecord[], baseOffset = 0): string[] {
  const lines = Buffer.from(records.map(({ line }) => line).join('\n'), 'latin1');
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

t.test('a record keeps its text as it was sent', async (t) => {
  const text =
    '{"key":"k","value":{"big":123456789012345678901234567890,"e":1E5,"z":-0,"u":"\\u00e9é"},"headers":{"a":"b"}}';
  t.equal(utf8(recordOf(text).line), text);
  t.same(fetched([recordOf(text)], 7), [`{"offset":7,"timestamp":1000,${text.slice(1)}`]);
});

t.test('each record of a list keeps its text as it was sent', async (t) => {
  const body = '{ "records" : [ {"value":1.0} ,{"value":"],}\\"{["}, { "value" : [ {"a":"\\\\"} , [] ] } ] }';
  t.same(
    recordsOf(body).map(({ line }) => line),
    ['{"value":1.0}', '{"value":"],}\\"{["}', '{ "value" : [ {"a":"\\\\"} , [] ] }'],
  );
});

t.test('a record becomes one line, and its strings are not changed', async (t) => {
  const records = recordsOf('{"records":[{\n  "key": "a",\r\n\t"value": {\n    "text": "x  \\n y"\n  }\n}]}');
  t.equal(records[0]!.line, '{"key": "a","value": {"text": "x  \\n y"}}');
});

t.test('a line has no partition, and begins with the timestamp that the client has set', async (t) => {
  const record = recordOf('{"value":10000000000000000000001,"partition":3,"timestamp":5}');
  t.equal(record.partition, 3);
  t.equal(record.timestamp, 5);
  t.same(fetched([record]), ['{"offset":0,"timestamp":5,"value":10000000000000000000001}']);
  t.same(fetched([withoutTimestamp(record)]), ['{"offset":0,"timestamp":1000,"value":10000000000000000000001}']);
  const bare = recordOf('{"timestamp":5}');
  t.same(fetched([bare, withoutTimestamp(bare)]), ['{"offset":0,"timestamp":5}', '{"offset":1,"timestamp":1000}']);
});

t.test('an empty record is a tombstone without a key', async (t) => {
  t.same(fetched([recordOf('{ }'), recordOf('{"partition":1}')]), [
    '{"offset":0,"timestamp":1000}',
    '{"offset":1,"timestamp":1000}',
  ]);
});

t.test('field names may contain escapes', async (t) => {
  const record = recordOf('{"\\u0076alue":1,"p\\u0061rtition":2}');
  t.equal(record.partition, 2);
  t.equal(record.line, '{"value":1}');
});

t.test('a key is text, bytes or missing', async (t) => {
  t.equal(recordOf('{"key":"é"}').key, bytesAsText('é'));
  t.equal(recordOf('{"key":"\\u00e9"}').key, bytesAsText('é'));
  t.equal(recordOf('{"keyBase64":"AP8="}').key, '\x00\xff');
  t.equal(recordOf('{"key":null}').key, undefined);
  t.equal(recordOf('{"key":""}').key, '');
});

t.test('an error names what is wrong', async (t) => {
  const cases: [string, RegExp][] = [
    ['[1]', /must be a record/],
    ['{"value":1', /line 1 is not JSON/],
    ['{"vlaue":1}', /unknown field 'vlaue'/],
    ['{"__proto__":{}}', /unknown field '__proto__'/],
    ['{"value":1,"value":2}', /the field value occurs twice/],
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
      problemOf(() => recordOf(text)),
      problem,
      text,
    );
  t.match(
    problemOf(() => recordsOf('7')),
    /must be an object with the records/,
  );
  t.match(
    problemOf(() => recordsOf('{"records":{}}')),
    /list of records/,
  );
  t.match(
    problemOf(() => recordsOf('{"records":[]}')),
    /records is empty/,
  );
  t.match(
    problemOf(() => recordsOf('{"records":[{}],"records":[{}]}')),
    /records twice/,
  );
  t.match(
    problemOf(() => recordsOf('{"records":[{},3]}')),
    /records\.1 must be an object/,
  );
});

t.test('headers are an object, or pairs if a name occurs twice', async (t) => {
  const pairs = '{"headers":[["a","1"],["a",null],["b",{"base64":"AA=="}]]}';
  t.equal(recordOf(pairs).line, pairs);
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

t.test('any records are returned as the same JSON, in their order', async (t) => {
  // A header named __proto__ is refused.
  const headers = fc.dictionary(
    fc.string().filter((name) => name !== '__proto__'),
    fc.string(),
  );
  const record = fc.record(
    { key: fc.string({ unit: 'binary' }), value: fc.jsonValue(), headers },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 8 }), fc.nat({ max: 3 }), (records, indent) => {
      const body = JSON.stringify({ records }, null, indent);
      const responses = fetched(recordsOf(body), 5).map((text) => JSON.parse(text));
      // What is compared went the same way, through JSON: it knows no minus zero.
      const expected = records.map((one, index) => ({ offset: 5 + index, timestamp: 1000, ...one }));
      t.same(responses, JSON.parse(JSON.stringify(expected)));
    }),
    { numRuns: 300 },
  );
});

t.test('any text is either parsed or refused as BAD_REQUEST', async (t) => {
  const almost = fc.tuple(fc.json(), fc.nat(), fc.string({ maxLength: 2 })).map(([json, at, noise]) => {
    const body = `{"records":[{"key":"a","value":${json}}]}`;
    const cut = at % body.length;
    return body.slice(0, cut) + noise + body.slice(cut + noise.length);
  });
  const unexpected: string[] = [];
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), almost), (text) => {
      const problem = problemOf(() => recordsOf(text));
      if (!/^(none$|BAD_REQUEST)/.test(problem)) unexpected.push(`${text}: ${problem}`);
    }),
    { numRuns: 2000 },
  );
  t.same(unexpected, []);
});

t.test('records with a value and perhaps a key are stored as sent, others are parsed one by one', async (t) => {
  const kinds: [string, RequestRecords['kind']][] = [
    ['{"records":[{"value":1},{"value":"é"},{"value":{"a":[]}}]}', 'contiguous'],
    ['{"records":[{"value":1}],"producer":{}}', 'contiguous'],
    ['{"records":[{"value":1}, {"value":2}]}', 'positioned'],
    ['{"records":[ {"value":1},{"value":2} ]}', 'contiguous'],
    ['{"records":[{"value":1},\n{"value":2}]}', 'separate'],
    ['{"records":[{"value":1},{"key":"a","value":2}]}', 'positioned'],
    ['{"records":[{"key":"é","value":1}]}', 'positioned'],
    ['{"records":[{"key":"a"}]}', 'positioned'],
    ['{"records":[{"key":"\\u0061","value":1}]}', 'separate'],
    ['{"records":[{"value":1},{"value":2,"timestamp":3}]}', 'separate'],
    ['{"records":[{"value":1},{}]}', 'separate'],
  ];
  for (const [body, kind] of kinds) {
    const { records } = parseRecords(Buffer.from(body));
    t.equal(records.kind, kind, body);
    const { records: values } = JSON.parse(body) as { records: { value?: unknown }[] };
    t.same(
      linesOf(records).map((line) => JSON.parse(utf8(line)).value),
      values.map(({ value }) => value),
    );
  }
});

t.test('invalid UTF-8 is refused, with the line number', async (t) => {
  const bytes = Buffer.concat([Buffer.from('{"value":1}\n{"value":"'), Buffer.from([0xff]), Buffer.from('"}')]);
  t.match(
    problemOf(() => parseLines(bytes, 7)),
    /line 8 is not valid UTF-8/,
  );
  t.match(
    problemOf(() => parseRecords(Buffer.concat([Buffer.from('{"records":['), bytes]))),
    /not valid UTF-8/,
  );
});

t.test('nesting up to the limit is accepted, and deeper nesting is refused', async (t) => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  t.equal(recordsOf(`{"records":[{"value":${nested(1000)}}]}`).length, 1);
  for (const depth of [1001, 100_000]) {
    for (const value of [nested(depth), '{"a":'.repeat(depth) + 1 + '}'.repeat(depth)]) {
      t.match(
        problemOf(() => recordsOf(`{"records":[{"value":${value}}]}`)),
        /nests deeper than 1000/,
      );
      t.match(
        problemOf(() => recordOf(`{"value":${value}}`)),
        /line 1 nests deeper than 1000/,
      );
    }
  }
});

/** JSON in many spellings, and texts that are almost JSON. */
const spelled = fc
  .tuple(
    fc.oneof(
      fc.json({ stringUnit: 'binary' }),
      fc.json().map((json) => JSON.stringify(JSON.parse(json), null, 1)),
    ),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.nat({ max: 2 }),
        fc.oneof(
          fc.constantFrom(
            '"',
            '\\',
            '\\u12',
            '\\u00e9',
            '\\n',
            '\\x',
            '{',
            '}',
            '[',
            ']',
            ',',
            ':',
            ' ',
            '\n',
            '\r',
            '\t',
          ),
          fc.constantFrom(
            '\x00',
            '\x1f',
            '\x7f',
            'é',
            '-',
            '+',
            '.',
            '0',
            '00',
            '1e',
            'e+5',
            'E-',
            'true',
            'nul',
            '"a":',
            '\ud800',
          ),
        ),
      ),
      { maxLength: 3 },
    ),
  )
  .map(([json, changes]) =>
    changes.reduce((text, [at, cut, put]) => {
      const where = at % (text.length + 1);
      return text.slice(0, where) + put + text.slice(where + cut);
    }, json),
  );

t.test('the scanner accepts what JSON.parse accepts, and nothing else', async (t) => {
  const isJson = (text: string) => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  fc.assert(
    fc.property(spelled, (given) => {
      const bytes = Buffer.from(given);
      const text = bytes.toString('latin1');
      const isClean = !hasControls(bytes) && !bytes.includes(10);
      const scanner = new JsonScanner(text, isClean);
      const end = scanner.skipValue(scanner.skipSpace(0));
      return (end !== noPosition && scanner.skipSpace(end) === text.length) === isJson(bytes.toString());
    }),
    { numRuns: 5000 },
  );
  t.pass();
});

t.test('control characters other than line feeds are found at any position', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat({ max: 3 }), (bytes, from) => {
      const part = bytes.subarray(from);
      return hasControls(part) === part.some((byte) => byte < 0x20 && byte !== 10);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

t.test('a JSON body and NDJSON with the same records give the same result', async (t) => {
  const member = fc.oneof(
    fc.tuple(fc.constant('value'), fc.oneof(fc.json(), spelled)),
    fc.tuple(
      fc.constant('key'),
      fc.oneof(
        fc.string({ unit: 'binary' }).map((key) => JSON.stringify(key)),
        fc.json(),
      ),
    ),
    fc.tuple(fc.constantFrom('partition', 'timestamp'), fc.oneof(fc.nat().map(String), fc.json())),
    fc.tuple(fc.constantFrom('headers', 'valueBase64', 'keyBase64', 'other', 'val\\u0075e'), fc.json()),
  );
  const space = fc.constantFrom('', '', '', ' ', '\t');
  const record = fc
    .tuple(fc.array(member, { maxLength: 3 }), space)
    .map(([members, gap]) => `{${members.map(([name, json]) => `"${name}":${gap}${json}`).join(`,${gap}`)}}`)
    .filter((text) => !/[\r\n]/.test(text));
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 4 }), space, (records, gap) => {
      const outcome = (run: () => EncodedRecord[]) => {
        const problem = problemOf(run);
        return problem === 'none'
          ? run().map(({ line, key, partition, timestamp }) => [line, key, partition, timestamp])
          : 'refused';
      };
      const ofBody = outcome(() => recordsOf(`{"records":[${records.join(`,${gap}`)}]}`));
      const ofLines = outcome(() => parseLines(Buffer.from(records.join('\n')), 1).records);
      return JSON.stringify(ofBody) === JSON.stringify(ofLines);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
