// What the body of a produce request of the Kafka REST dialect says, whatever its spelling.
import fc from 'fast-check';
import t from 'tap';
import { runSteps } from '../../../src/core/steps.ts';
import type { RecordFormat } from '../../../src/http/kafka-rest/media-types.ts';
import { parseProduceBody } from '../../../src/http/kafka-rest/produce-body.ts';

/** A record as it is stored, and the key that chooses its partition. */
interface Read {
  record: any;
  key: string | undefined;
}

function readBody(text: string, format: RecordFormat): Read[] {
  const records = runSteps(parseProduceBody(Buffer.from(text), format));
  if (records.kind === 'separate') {
    return records.records.map(({ line, key }) => ({ record: parsedLine(Buffer.from(line, 'latin1')), key }));
  }
  if (records.kind === 'contiguous') {
    return records.lines
      .toString('latin1')
      .split('\n')
      .map((line) => ({ record: parsedLine(Buffer.from(line, 'latin1')), key: undefined }));
  }
  return Array.from({ length: records.count }, (_, i) => {
    const [start, end, keyStart = -1, keyEnd] = records.positions.slice(4 * i, 4 * i + 4);
    const record = parsedLine(Buffer.from(records.text.slice(start, end), 'latin1'));
    return { record, key: keyStart < 0 ? undefined : records.text.slice(keyStart, keyEnd) };
  });
}

function parsedLine(line: Buffer): any {
  if (line.includes('\n')) throw new Error(`A line has a line feed: ${line}`);
  return JSON.parse(line.toString());
}

const asBytes = (text: string) => Buffer.from(text).toString('latin1');
const spaces = fc.constantFrom(undefined, 1, '\t');

t.test('JSON of any kind and spelling is stored with its key, and null is none', async (t) => {
  const record = fc.record(
    {
      key: fc.oneof(fc.constant(null), fc.string({ unit: 'binary' }), fc.integer(), fc.constant({ 'a"': ['\\'] })),
      value: fc.oneof(fc.constant(null), fc.jsonValue({ stringUnit: 'binary' }), fc.constantFrom('"', '\\"', 'null')),
      timestamp: fc.nat(),
      headers: fc.constantFrom([{ key: 'h"', value: 'aGk=' }]),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), spaces, (records, space) => {
      const sent = JSON.stringify({ value_schema_id: null, records }, null, space);
      const given: any[] = JSON.parse(sent).records;
      t.same(
        readBody(sent, 'json'),
        given.map(({ key, value, timestamp, headers }) => {
          const isText = typeof key === 'string';
          const keyText = isText ? key : JSON.stringify(key, null, space);
          const at = { key: undefined as string | undefined, record: {} as any };
          if (timestamp !== undefined) at.record.timestamp = timestamp;
          if (key !== undefined && key !== null) {
            at.key = asBytes(spelledIn(sent, keyText, isText));
            if (isText) at.record.key = key;
            else at.record.keyBase64 = Buffer.from(at.key, 'latin1').toString('base64');
          }
          if (value !== undefined && value !== null) at.record.value = value;
          if (headers) at.record.headers = [['h"', 'hi']];
          return at;
        }),
      );
    }),
    { numRuns: 300 },
  );
});

/** The text of a key; the only object that is one is found in what was sent, as it is indented. */
function spelledIn(sent: string, text: string, isText: boolean): string {
  if (isText || !text.startsWith('{')) return text;
  return /\{\s*"a\\"":\s*\["?[^\]]*\]\s*\}/.exec(sent)?.[0] ?? '';
}

t.test('bytes are stored with their key, and null is none', async (t) => {
  const bytes = fc.option(fc.uint8Array({ maxLength: 40 }));
  const record = fc.record({ key: bytes, value: bytes, partition: fc.nat({ max: 3 }) }, { requiredKeys: [] });
  const base64 = (of: Uint8Array | null | undefined) => of && Buffer.from(of).toString('base64');
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), spaces, fc.boolean(), (records, space, escapes) => {
      const sent = records.map(({ key, value, ...rest }) => ({ key: base64(key), value: base64(value), ...rest }));
      const text = JSON.stringify({ records: sent }, null, space);
      t.same(
        // As PHP spells it.
        readBody(escapes ? text.replaceAll('/', '\\/') : text, 'binary'),
        records.map(({ key, value }) => ({
          record: { ...(key && { keyBase64: base64(key) }), ...(value && { valueBase64: base64(value) }) },
          key: key ? Buffer.from(key).toString('latin1') : undefined,
        })),
      );
    }),
    { numRuns: 300 },
  );
});

t.test('a line feed within a text is no JSON', async (t) => {
  for (const text of [
    '{"re\ncords":[]}',
    '{"records":[{"key":null,"value":"a\nb"}]}',
    '{"records":[{"k\ney":null}]}',
  ]) {
    t.throws(() => readBody(text, 'json'), { code: 'BAD_REQUEST' }, JSON.stringify(text));
  }
});

t.test('what is no base64 is refused, and a field that occurs twice', async (t) => {
  const refused = (record: string, errorCode: number) =>
    t.throws(() => readBody(`{"records":[${record}]}`, 'binary'), { name: 'Error', errorCode }, record);
  for (const bad of ['"a==="', '"abc"', '"ab c"', '"ab=c"', '7', '{"a":1}', '"YWJj\\u003d"']) {
    refused(`{"value":${bad}}`, 400);
    refused(`{"key":${bad},"value":null}`, 400);
  }
  refused('{"value":"aGk=","value":"aGk="}', 422);
  refused('{"key":"aGk=","key":"aGk="}', 422);
});
