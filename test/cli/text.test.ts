// The pure parts of the command line.
import t from 'tap';
import { curlOf } from '../../src/cli/curl.ts';
import { exitCodeOf } from '../../src/cli/errors.ts';
import { isServe } from '../../src/cli/invocation.ts';
import { momentMs, startOf } from '../../src/cli/moments.ts';
import { recordInputOf } from '../../src/cli/record-lines.ts';
import { formatterOf, recordLine } from '../../src/cli/record-text.ts';
import { printable, tableLines } from '../../src/cli/table.ts';
import { sizeText, spanText } from '../../src/cli/units.ts';

t.test('arguments without a command, or with options of a server first, are those of a server', async (t) => {
  const servers = [[], ['serve'], ['serve', '--help'], ['--port', '7070'], ['--log-level=debug', '--help']];
  const commands = [['status'], ['--help'], ['-u', 'http://a', 'status'], ['--url=http://a', 'status'], ['-v'], ['-V']];
  t.same([servers.map(isServe), commands.map(isServe)], [servers.map(() => true), commands.map(() => false)]);
});

t.test('each kind of error has its exit code', async (t) => {
  const codes: [code: string, status: number, exit: number][] = [
    ['NO_NODE', 404, 3],
    ['SESSION_EXPIRED', 410, 3],
    ['NODE_EXISTS', 409, 4],
    ['BAD_VERSION', 412, 4],
    ['UNREACHABLE', 0, 5],
    ['LOADING', 503, 5],
    ['REQUEST_TIMEOUT', 408, 6],
    ['FORBIDDEN', 403, 1],
    ['MISCONFIGURED', 0, 2],
  ];
  for (const [code, status, exit] of codes) t.equal(exitCodeOf({ code: code as 'NO_NODE', status }), exit, code);
});

t.test('tables are as wide as their cells, and numbers stand at the right', async (t) => {
  t.same(
    tableLines({
      columns: ['NAME', { title: 'LAG', right: true }, 'X'],
      rows: [
        ['a', 5, ''],
        ['longer', 12345, 'y'],
      ],
    }),
    ['NAME      LAG  X', 'a           5  -', 'longer  12345  y'],
  );
});

t.test('control characters of data cannot reach the terminal', async (t) => {
  t.equal(printable('a\u001b[2Jb\nc\u009b'), 'a\\x1b[2Jb\\nc\\x9b');
  const record = { topic: 't', partition: 0, offset: 1, timestamp: 0, key: '\u001b', value: 'v\u0007' };
  t.equal(
    recordLine(record, (text) => text),
    '0:1  \\x1b  v\\x07',
  );
});

t.test('a curl command quotes what a shell would change, and never has the token', async (t) => {
  const url = 'http://localhost:7070/v1/nodes/a?x=1&y=2';
  const headers = { Authorization: 'Bearer weir_x_secret', 'content-type': 'text/plain', 'idempotency-key': 'k' };
  t.equal(
    curlOf({ method: 'PUT', url, headers, body: `it's` }),
    `curl -X PUT -H "Authorization: Bearer $WEIR_TOKEN" -H 'content-type: text/plain' --data-binary 'it'\\''s' '${url}'`,
  );
  t.equal(curlOf({ method: 'POST', url: 'http://a/', headers: {}, body: '@x' }), 'curl --data-binary @- http://a/');
  const files = { cacert: { path: 'ca.pem' }, key: { path: 'my key' } };
  t.equal(
    curlOf({ method: 'GET', url: 'https://a/', headers: {}, files }),
    "curl --cacert ca.pem --key 'my key' https://a/",
  );
  t.equal(
    curlOf({ method: 'GET', url: 'http://a/', headers: { 'weir-session': 's.x' } }),
    'curl -H "Weir-Session: $WEIR_SESSION" http://a/',
  );
});

t.test('moments are dates, ms since 1970, or how long ago', async (t) => {
  t.equal(momentMs('@1h', 7_200_000), 3_600_000);
  t.equal(momentMs('@1796000000000', 0), 1_796_000_000_000);
  t.equal(momentMs('@2026-11-30T12:00:00Z', 0), Date.parse('2026-11-30T12:00:00Z'));
  t.throws(() => momentMs('@noon', 0), /"@noon" is no moment; write @2026/);
});

t.test('--from is an end, an offset, the last ones, or a moment', async (t) => {
  t.same(
    ['earliest', '42', '-10', '@1s'].map((text) => startOf(text, 5000)),
    [{ at: 'earliest' }, { offset: 42 }, { last: 10 }, { timestamp: 4000 }],
  );
  t.throws(() => startOf('begin', 0), /--from is "begin"/);
});

t.test('formats have the fields of a record, and escapes', async (t) => {
  const headers = [
    ['a', '1'],
    ['a', { base64: 'AA==' }],
  ] as [string, string | { base64: string }][];
  const record = { topic: 't', partition: 2, offset: 3, timestamp: 1000, key: 'k', value: { x: 1 }, headers };
  const show = (format: string) => new TextDecoder().decode(formatterOf(format)(record));
  t.equal(show('%t:%p:%o %k=%v %s%%\\n'), 't:2:3 k={"x":1} 7%\n');
  t.equal(show('%T %D %h\\t|'), '1000 1970-01-01T00:00:01.000Z a=1,a=base64:AA==\t|');
  t.same(formatterOf('%v')({ ...record, value: undefined, valueBase64: '/w==' }), Buffer.from([255]));
  t.throws(() => formatterOf('%x'), /The format has %x; it takes %t %p/);
});

t.test('lines are texts, keys and texts, JSON, or whole records', async (t) => {
  t.same(recordInputOf('a', 1, {}), { value: 'a' });
  t.same(recordInputOf('k:v:w', 1, { keySeparator: ':' }), { key: 'k', value: 'v:w' });
  t.same(recordInputOf('{"a":1}', 1, { json: true, key: 'k' }), { key: 'k', value: { a: 1 } });
  const whole = { offset: 3, partition: 0, timestamp: 5, keyBase64: 'AA==', value: null, headers: [['h', 'x']] };
  t.same(recordInputOf(JSON.stringify(whole), 1, { records: true }), {
    key: Buffer.from([0]),
    value: null,
    headers: { h: 'x' },
    timestamp: 5,
  });
  t.throws(() => recordInputOf('a', 7, { keySeparator: ':' }), /Line 7 has no ":"/);
  t.throws(() => recordInputOf('{', 8, { json: true }), /Line 8 is not JSON/);
  t.throws(() => recordInputOf('[]', 9, { records: true }), /Line 9 is no record/);
});

t.test('sizes and spans are in units that people read', async (t) => {
  t.same([0, 1023, 1536, 150 * 1024, 5 * 1024 ** 3].map(sizeText), ['0 B', '1023 B', '1.5 KiB', '150 KiB', '5.0 GiB']);
  t.same([5, 61_000, 3_600_000, 90_000_000].map(spanText), ['5ms', '1m 1s', '1h', '1d 1h']);
});
