// The counts of nodes are exact, whatever creates and deletes them.
import t from 'tap';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, metric, startTestServer } from '../helpers/server.ts';
import { storedNodes } from '../helpers/stored-nodes.ts';

const { socketPath } = await startTestRedis(t);
const server = await startTestServer(t, {}, { socketPath });
const { url, broker } = server;
const send = (method: string, path: string, body?: unknown, headers = {}) =>
  http(`${url}/v1${path}`, method, body, headers);

async function isExact(t: any, what: string) {
  // Brokers, controllers and groups change nodes, too.
  await eventually(async () => {
    const before = await storedNodes(socketPath);
    const counted = await broker.store.nodeCounts();
    return counted.nodes === before.nodes && counted.ephemerals === before.ephemerals;
  }, what);
  t.pass(what);
}

t.test('after each kind of change the counts are those of the nodes', async (t) => {
  await isExact(t, 'a new store');
  const { session } = (await send('POST', '/sessions', { ttl: '60s' })).body;
  await send('PUT', '/nodes/a/b/c?parents=true', '');
  await send('PUT', `/nodes/a/live?session=${session}`, '');
  await send('POST', '/nodes/a/s-', '');
  await isExact(t, 'creations');
  const create = (path: string) => ({ op: 'create', path });
  await send('POST', '/multi', { ops: [create('/m'), create('/m/n'), { op: 'delete', path: '/m/n' }] });
  await send('POST', '/multi', { ops: [create('/m/o'), create('/m/p'), create('/none/p')] });
  await Promise.all([
    ...Array.from({ length: 20 }, (_, i) => send('PUT', `/nodes/a/p${i}`, '')),
    ...Array.from({ length: 20 }, () => send('POST', '/multi', { ops: [create('/a/q'), create('/a/q')] })),
    ...Array.from({ length: 20 }, (_, i) => send('PUT', `/nodes/a/live${i}?session=${session}`, '')),
  ]);
  await isExact(t, 'transactions, with some that fail');
  await send('POST', '/import?dryRun', '{"path":"/i"}\n', { 'content-type': 'application/x-ndjson' });
  await send('POST', '/import', '{"path":"/i"}\n{"path":"/i/j"}\n', { 'content-type': 'application/x-ndjson' });
  await send('POST', '/copy', { from: '/i', to: '/k' });
  await send('POST', '/copy', { from: '/a', to: '/l' });
  await send('POST', '/copy', { from: '/k', to: '/n', move: true });
  await isExact(t, 'imports, copies and moves');
  await send('PUT', '/nodes/brief?ttl=1ms', '');
  await eventually(async () => (await send('GET', '/nodes/brief')).status === 404, 'it has expired');
  await send('DELETE', '/nodes/l?recursive=true');
  await send('DELETE', `/sessions/${session}`);
  await isExact(t, 'deletions');
  await send('POST', '/topics', { name: 'x', partitions: 3 });
  await send('POST', '/groups/g/members', { topics: ['x'], memberId: 'm' });
  await send('POST', '/groups/h/offsets', { offsets: [{ topic: 'x', partition: 0, offset: 0 }] });
  await isExact(t, 'topics, members and offsets');
  await send('DELETE', '/groups/h');
  await send('DELETE', '/topics/x');
  await isExact(t, 'their deletion');
  const { nodes, ephemerals } = await broker.store.nodeCounts();
  await eventually(async () => (await metric(server, 'weir_nodes')) === nodes, 'the metric has the nodes');
  await eventually(async () => (await metric(server, 'weir_ephemeral_nodes')) === ephemerals, 'and the ephemeral ones');
});
