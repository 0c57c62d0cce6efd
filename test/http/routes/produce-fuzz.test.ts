// Bodies that no producer should send: each is refused with a 4xx that says why, and nothing of it is written (E1). What a
// stream was reported as appended before it went wrong is there, and nothing else.
import fc from 'fast-check';
import t from 'tap';
import { http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
await http(`${server.url}/v1/topics`, 'POST', { name: 'fuzzed', partitions: 2 });
const records = `${server.url}/v1/topics/fuzzed/records`;
const json = { 'content-type': 'application/json' };
const ndjson = { 'content-type': 'application/x-ndjson' };
const runs = { numRuns: 60, interruptAfterTimeLimit: 10_000 };

const endOffset = async (): Promise<number> => {
  const { partitions } = (await http(`${server.url}/v1/topics/fuzzed/offsets`)).body;
  return partitions.reduce((sum: number, { offset }: { offset: number }) => sum + offset, 0);
};

const good = '{"key":"a","value":{"b":[1,"é",null]}}';
const notWhole = fc.constantFrom(
  '-1',
  '1.5',
  '1e400',
  '-1e400',
  '9007199254740992',
  '1e21',
  '"1"',
  'null',
  'true',
  '[]',
  '{}',
);
const notText = fc.constantFrom('1', 'true', '[]', '{}', '1e999');
const notBase64 = fc.constantFrom('"a"', '"a==="', '"ab=c"', '"ä"', '1', 'null', '[]');

/** What a record's fields may not be; each makes its record, and with it the whole request, wrong. */
const badMember = fc.oneof(
  fc.tuple(fc.constantFrom('partition', 'timestamp'), notWhole),
  fc.tuple(fc.constant('key'), notText),
  fc.tuple(fc.constantFrom('keyBase64', 'valueBase64'), notBase64),
  fc.tuple(
    fc.constant('headers'),
    fc.constantFrom('1', '"a"', 'null', '[1]', '[["a"]]', '{"a":1}', '{"a":{"base64":"?"}}'),
  ),
  fc.tuple(
    fc
      .string({ unit: 'binary' })
      .filter((name) => !/^(key|value)(Base64)?$|^(headers|partition|timestamp)$/.test(name)),
    fc.json(),
  ),
);
const badRecord = fc.oneof(
  badMember.map(([name, text]) => `{${JSON.stringify(name)}:${text}}`),
  badMember.map(([name, text]) => `{"value":1,${JSON.stringify(name)}:${text}}`),
  fc.constantFrom('1', '"a"', 'null', '[]', 'true', '{"value":1,"value":2}', '{"k\\u0065y":"a","key":"b"}'),
  fc.constantFrom('{"value":1,"valueBase64":"aGk="}', '{"key":"a","keyBase64":"aGk="}', '{"headers":{},"headers":{}}'),
);
/** Cut off anywhere, a record is no JSON. */
const cutRecord = fc.integer({ min: 1, max: good.length - 1 }).map((end) => good.slice(0, end));
const deep = fc
  .tuple(fc.constantFrom('[', '{"a":', '[{"a":'), fc.constantFrom(2000, 100_000), fc.boolean())
  .map(([open, depth, isClosed]) => {
    const close = [...open]
      .reverse()
      .map((part) => (part === '[' ? ']' : part === '{' ? '}' : ''))
      .join('');
    return `{"value":${open.repeat(depth)}${isClosed ? `1${close.repeat(depth)}` : ''}}`;
  });
const garbage = fc.oneof(fc.string({ unit: 'binary' }), fc.json()).filter((text) => {
  try {
    return !Array.isArray(JSON.parse(text)?.records);
  } catch {
    return true;
  }
});

/** Bytes, as text is always UTF-8. */
const bytes = (text: string): Buffer => Buffer.from(text);
const notUtf8 = fc
  .tuple(
    fc.nat({ max: good.length }),
    fc.constantFrom([0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe9], [0xf5, 0x80, 0x80, 0x80]),
  )
  .map(([at, noise]) => Buffer.concat([bytes(good.slice(0, at)), Buffer.from(noise), bytes(good.slice(at))]));

async function refuses(body: Buffer, headers: Record<string, string>): Promise<void> {
  const before = await endOffset();
  const response = await http(records, 'POST', body, headers);
  const shown = body.subarray(0, 200).toString();
  if (response.status < 400 || response.status > 499) throw new Error(`${response.status} for ${shown}`);
  if (typeof response.body.code !== 'string' || response.body.detail === '') throw new Error(`No problem for ${shown}`);
  if ((await endOffset()) !== before) throw new Error(`Something was written of ${shown}`);
}

t.test('a JSON body that is wrong anywhere is refused, and nothing of it is written', async (t) => {
  const wrongPart = fc.oneof(badRecord, cutRecord, deep).map(bytes);
  const body = fc
    .tuple(fc.oneof(wrongPart, notUtf8), fc.nat({ max: 3 }), fc.nat({ max: 3 }))
    .map(([bad, before, after]) =>
      Buffer.concat([bytes(`{"records":[${`${good},`.repeat(before)}`), bad, bytes(`${`,${good}`.repeat(after)}]}`)]),
    );
  const beside = fc
    .constantFrom('"records":[{}]', '"more":1', '"producer":7', '"producer":{"id":"a"}', '"":{}')
    .map((member) => bytes(`{"records":[${good}],${member}}`));
  await fc.assert(
    fc.asyncProperty(fc.oneof({ weight: 4, arbitrary: body }, beside, garbage.map(bytes)), (body) =>
      refuses(body, json),
    ),
    runs,
  );
  t.pass();
});

t.test('the first line of NDJSON that is wrong ends it, and what was appended was reported', async (t) => {
  const lines = fc.tuple(
    fc.oneof(badRecord.map(bytes), cutRecord.map(bytes), deep.map(bytes), notUtf8),
    fc.nat({ max: 3 }),
    fc.boolean(),
  );
  await fc.assert(
    fc.asyncProperty(lines, async ([bad, before, hasMore]) => {
      const body = Buffer.concat([bytes(`${good}\n`.repeat(before)), bad, bytes(hasMore ? `\n${good}\n` : '')]);
      const end = await endOffset();
      const response = await http(records, 'POST', body, ndjson);
      // A body that came in several pieces may have been appended in part; then its last line is the problem.
      const received: { count?: number; code?: string; line?: number }[] =
        response.status === 200 ? response.body.trim().split('\n').map(JSON.parse) : [response.body];
      const { code, line } = received.at(-1)!;
      const appended = received.reduce((sum, { count = 0 }) => sum + count, 0);
      const isRight =
        code === 'BAD_REQUEST' && line === before + 1 && appended <= before && (await endOffset()) === end + appended;
      if (!isRight) throw new Error(`${response.status} ${JSON.stringify(received)} for ${body.subarray(0, 200)}`);
    }),
    runs,
  );
  t.pass();
});

t.test('types and headers that cannot be meant are refused, and the server lives on', async (t) => {
  for (const type of ['application', '/', ';;', 'json', 'application/json, text/plain']) {
    await refuses(bytes(good), { 'content-type': type });
  }
  for (const [name, value] of [
    ['weir-fence', 'x'],
    ['weir-producer', 'x'],
    ['idempotency-key', ''],
  ] as const) {
    await refuses(bytes(`{"records":[${good}]}`), { ...json, [name]: value });
  }
  for (const query of ['acks=2', 'acks=', 'more=1', 'partition=0', 'key=a', 'offsets=maybe']) {
    const response = await http(`${records}?${query}`, 'POST', `{"records":[${good}]}`, json);
    t.equal(response.status, 400, query);
  }
  t.equal((await http(records, 'POST', `{"records":[${good}]}`, json)).status, 200);
});
