// weir backup and weir restore: what comes back is what was there; nothing twice, and nothing from a file that was cut short.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { TestCli } from '../helpers/cli.ts';
import { startFaultyNetwork } from '../helpers/faulty-network.ts';
import { eventually, http, startTestServer, type TestServer } from '../helpers/server.ts';

t.jobs = 3;

const source = await startTestServer(t);
const cli = new TestCli(t, source.url);
const file = join(cli.folder, 'backup.ndjson.gz');

/** The records of a partition as the server gives them, without their offsets: numbers as they are written. */
async function records({ url }: Pick<TestServer, 'url'>, topic: string, partition: number): Promise<string[]> {
  const log = `${url}/v1/topics/${topic}/partitions/${partition}/records?offset=earliest&maxRecords=100000&maxBytes=16777216`;
  const { body } = await http(log, 'GET', undefined, { accept: 'application/x-ndjson' });
  return String(body)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^\{"offset":\d+,/, '{'));
}

async function nodes({ url }: Pick<TestServer, 'url'>, path: string): Promise<string[]> {
  const { body } = await http(`${url}/v1/nodes${path}?view=export`);
  return String(body)
    .split('\n')
    .filter((line) => line.startsWith('{"path"'));
}

async function offsets({ url }: Pick<TestServer, 'url'>, group: string): Promise<Record<string, [number, string?]>> {
  const { body } = await http(`${url}/v1/groups/${group}/offsets`);
  return Object.fromEntries(
    body.offsets.map((each: any) => [
      `${each.topic}/${each.partition}`,
      each.metadata ? [each.offset, each.metadata] : [each.offset],
    ]),
  );
}

const topicOf = async ({ url }: Pick<TestServer, 'url'>, topic: string) =>
  (await http(`${url}/v1/topics/${topic}`)).body;

/** Fills the server: every kind of node and record, a log whose beginning is gone, and committed offsets all over it. */
async function fill({ url }: TestServer): Promise<void> {
  const node = (path: string, body: string | Uint8Array, headers = {}) =>
    http(`${url}/v1/nodes${path}`, 'PUT', body, headers);
  await node('/app', 'root of it');
  await node('/app/bytes', new Uint8Array([0, 255, 10, 13]), { 'content-type': 'application/octet-stream' });
  await node('/app/json', '{"a":"ä\u2028"}', { 'content-type': 'application/json' });
  await node('/app/timed?mode=ttl&ttl=1h', 'x');
  await node('/app/box?mode=container', '');
  const { body: session } = await http(`${url}/v1/sessions`, 'POST', { ttl: '1h' });
  await http(`${url}/v1/nodes/app/member?session=${session.session}`, 'PUT', 'me');
  const config = { 'retention.ms': 86_400_000, 'max.message.bytes': 5000, 'message.timestamp.type': 'LogAppendTime' };
  await http(`${url}/v1/topics`, 'POST', { name: 'clicks', partitions: 2, config });
  const log = `${url}/v1/topics/clicks/partitions`;
  const append = (partition: number, lines: string[]) =>
    http(`${log}/${partition}/records`, 'POST', `{"records":[${lines.join(',')}]}`, {
      'content-type': 'application/json',
    });
  await append(0, ['{"value":1}', '{"value":2}', '{"value":3}']);
  await append(0, [
    '{"key":"k","value":12345678901234567890.10,"headers":[["h","1"],["h",{"base64":"AAE="}]]}',
    '{"key":"k"}',
  ]);
  await append(0, ['{"keyBase64":"AP8=","valueBase64":"AAEC"}', '{"value":"line\\u2028end \\" ü"}']);
  await append(1, [`{"value":"${'x'.repeat(4900)}"}`]);
  await http(`${log}/0/records?before=2`, 'DELETE');
  const commit = (group: string, partition: number, offset: number, metadata?: string) =>
    http(`${url}/v1/groups/${group}/offsets`, 'POST', {
      offsets: [{ topic: 'clicks', partition, offset, ...(metadata && { metadata }) }],
    });
  await commit('early', 0, 1);
  await commit('middle', 0, 4, 'note');
  await commit('end', 0, 7);
  await commit('end', 1, 1);
}

await fill(source);

t.test('what was backed up is restored into an empty server', async (t) => {
  const { code, stdout } = await cli.run(['backup', file]);
  t.equal(code, 0);
  t.match(stdout, /^\d+ nodes, 1 topics with 6 records, 4 committed offsets\.\n1 ephemeral nodes were left out/);
  const text = gunzipSync(readFileSync(file)).toString();
  t.match(text, /^\{"type":"backup","version":1,/);
  t.match(text, /\{"type":"end",.*"sha256":"[0-9a-f]{64}"\}\n$/);

  const target = await startTestServer(t);
  const env = { WEIR_URL: target.url };
  const dry = await cli.run(['restore', file, '--dry-run'], { env });
  t.match(dry, { code: 0, stdout: /Nothing is in the way\.\n$/ });
  t.equal((await http(`${target.url}/v1/topics`)).body.topics.length, 0, 'a dry run writes nothing');
  const restored = await cli.run(['restore', file, '-o', 'json'], { env });
  t.equal(restored.code, 0, restored.stderr);
  t.match(JSON.parse(restored.stdout), { topics: 1, records: 6, recordsBefore: 0, offsets: 4 });

  t.same(await nodes(target, '/'), await nodes(source, '/'), 'the nodes, and no traces of the restore');
  for (const partition of [0, 1])
    t.same(await records(target, 'clicks', partition), await records(source, 'clicks', partition));
  const [before, after] = [await topicOf(source, 'clicks'), await topicOf(target, 'clicks')];
  t.same(after.config, before.config);
  t.match(after.partitions, [
    { logStartOffset: 0, endOffset: 5 },
    { logStartOffset: 0, endOffset: 1 },
  ]);
  t.same(await offsets(target, 'early'), { 'clicks/0': [0] }, 'its record is gone: it begins with the first one');
  t.same(await offsets(target, 'middle'), { 'clicks/0': [2, 'note'] });
  t.same(await offsets(target, 'end'), { 'clicks/0': [5], 'clicks/1': [1] });

  const again = await cli.run(['restore', file], { env });
  t.equal(again.code, 4, 'what is there is a conflict');
  t.match(again.stderr, /The topic clicks exists\..*\nNothing was restored\.\n$/);
  t.equal((await cli.run(['restore', file, '--dry-run'], { env })).code, 7);
  t.equal((await topicOf(target, 'clicks')).partitions[0].endOffset, 5);
});

t.test('a backup is restored beside what is there, through pipes, and conflicts of nodes are told', async (t) => {
  const target = await startTestServer(t);
  const env = { WEIR_URL: target.url };
  await http(`${target.url}/v1/nodes/app`, 'PUT', 'another');
  const told = await cli.shell(`weir backup - -q | WEIR_URL=${target.url} weir restore -`);
  t.equal(told.code, 4);
  t.match(told.stderr, /^1 nodes exist with other content\. .*\/app/);
  const prefixes = ['--prefix', '/old/here', '--topic-prefix', 'old.'];
  const piped = await cli.shell(
    `weir backup - -q --path /app | WEIR_URL=${target.url} weir restore - ${prefixes.join(' ')}`,
  );
  t.equal(piped.code, 0, piped.stderr);
  t.same(
    await nodes(target, '/old/here'),
    (await nodes(source, '/app')).map((line) => line.replace('"/app', '"/old/here')),
  );
  t.same(await records(target, 'old.clicks', 0), await records(source, 'clicks', 0));
  t.same(await offsets(target, 'old.end'), { 'old.clicks/0': [5], 'old.clicks/1': [1] });
  t.equal((await http(`${target.url}/v1/nodes/app`)).body, 'another');

  await cli.run(['backup', 'nodes.ndjson', '--no-topics', '--path', '/app']);
  t.equal((await cli.run(['restore', 'nodes.ndjson', '--on-conflict', 'skip'], { env })).code, 0);
  t.equal((await http(`${target.url}/v1/nodes/app`)).body, 'another');
  t.equal((await cli.run(['restore', 'nodes.ndjson', '--on-conflict', 'overwrite'], { env })).code, 0);
  t.equal((await http(`${target.url}/v1/nodes/app`)).body, 'root of it');
});

t.test('a file that was cut short, or changed, is refused, and nothing of it is restored', async (t) => {
  const target = await startTestServer(t);
  const env = { WEIR_URL: target.url };
  await cli.run(['backup', 'whole.ndjson']);
  const whole = readFileSync(join(cli.folder, 'whole.ndjson'), 'utf8');
  const lines = whole.split('\n').slice(0, -1);
  const faults: [name: string, text: string, says: RegExp][] = [
    ['cut', whole.slice(0, -100), /no complete backup: its last line is not complete/],
    ['end', `${lines.slice(0, -1).join('\n')}\n`, /its end is missing/],
    ['line', `${lines.toSpliced(2, 1).join('\n')}\n`, /lines of \d+/],
    ['byte', whole.replace('root of it', 'root of IT').replace(/cm9v/, 'cm9w'), /its checksum is another one/],
    ['more', `${whole}{}\n`, /lines behind the last one/],
    ['other', '{"name":"other"}\n', /is no backup of Weirkeeper/],
    ['newer', whole.replace('"version":1', '"version":2'), /has version 2 of the format/],
  ];
  for (const [name, text, says] of faults) {
    writeFileSync(join(cli.folder, `${name}.ndjson`), text);
    const { code, stderr } = await cli.run(['restore', `${name}.ndjson`], { env });
    t.equal(code, 1, name);
    t.match(stderr, says, name);
  }
  writeFileSync(join(cli.folder, 'cut.gz'), readFileSync(file).subarray(0, -20));
  t.match(await cli.run(['restore', 'cut.gz'], { env }), { code: 1, stderr: /no complete backup/ });
  t.same((await http(`${target.url}/v1/topics`)).body.topics, []);
});

/** A topic of so many requests that a restore of it can be interrupted. */
async function fillMuch(t: Test): Promise<{ file: string; count: number }> {
  const much = await startTestServer(t);
  await http(`${much.url}/v1/topics`, 'POST', { name: 'much', partitions: 2 });
  const count = 4000;
  const line = (n: number) => JSON.stringify({ key: `k${n}`, value: { n, text: 'x'.repeat(1000) }, partition: n % 2 });
  for (let at = 0; at < count; at += 500) {
    const lines = Array.from({ length: 500 }, (_, i) => line(at + i)).join(',');
    await http(`${much.url}/v1/topics/much/records`, 'POST', `{"records":[${lines}]}`, {
      'content-type': 'application/json',
    });
  }
  const path = join(cli.folder, 'much.ndjson');
  await cli.run(['backup', path], { env: { WEIR_URL: much.url } });
  return { file: path, count };
}

t.test('a restore that was killed is repeated: it appends the rest, and nothing twice', async (t) => {
  const { file, count } = await fillMuch(t);
  const target = await startTestServer(t);
  const network = await startFaultyNetwork(t, target.url);
  network.loseReplyTo('POST /v1/topics/much/partitions/0/records');
  network.delay(100);
  const killed = cli.start(['restore', file], { WEIR_URL: network.url });
  const ends = async () => (await topicOf(target, 'much')).partitions?.map((each: any) => each.endOffset) ?? [0, 0];
  await eventually(async () => (await ends())[0] > 0, 'some records are there');
  killed.child.kill('SIGKILL');
  await killed.exited;
  const [first] = await ends();
  t.ok(first < count, 'and others are not');
  const repeated = await cli.run(['restore', file, '-o', 'json'], { env: { WEIR_URL: target.url } });
  t.equal(repeated.code, 0, repeated.stderr);
  const result = JSON.parse(repeated.stdout);
  t.equal(result.records + result.recordsBefore, count);
  t.ok(result.recordsBefore >= first);
  for (const partition of [0, 1]) {
    const numbers = (await records(target, 'much', partition)).map((text) => JSON.parse(text).value.n);
    t.same(
      numbers,
      Array.from({ length: count / 2 }, (_, i) => 2 * i + partition),
      'each once, in order',
    );
  }
  t.same(
    (await nodes(target, '/')).map((line) => JSON.parse(line).path),
    ['/'],
    'no trace is left',
  );
});

t.test('a backup that fails leaves no file', async (t) => {
  const { code } = await cli.run(['backup', 'none.gz', '--path', '/absent']);
  t.equal(code, 3);
  t.throws(() => readFileSync(join(cli.folder, 'none.gz')));
  t.throws(() => readFileSync(join(cli.folder, 'none.gz.partial')));
});

t.test('topics keep their number of replicas, as far as there are brokers', async (t) => {
  await startTestServer(t, {}, source.target);
  await eventually(async () => (await http(`${source.url}/v1/brokers`)).body.brokers.length === 2, 'both are there');
  await http(`${source.url}/v1/topics`, 'POST', { name: 'wide', partitions: 2, replicationFactor: 2 });
  t.equal((await cli.run(['backup', 'wide.ndjson', '--no-tree', '--topics', 'wide'])).code, 0);
  const replicas = async (server: Pick<TestServer, 'url'>, topic: string) =>
    (await topicOf(server, topic)).partitions.map((each: any) => each.replicas.length);
  const beside = await cli.run(['restore', 'wide.ndjson', '--topic-prefix', 'copy.']);
  t.same([beside.code, beside.stderr], [0, '']);
  t.same(await replicas(source, 'copy.wide'), [2, 2]);
  const alone = await startTestServer(t);
  const fewer = await cli.run(['restore', 'wide.ndjson'], { env: { WEIR_URL: alone.url } });
  t.match(fewer, { code: 0, stderr: /^wide had 2 replicas and gets 1: there are no more brokers/ });
  t.same(await replicas(alone, 'wide'), [1, 1]);
});
