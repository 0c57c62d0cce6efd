import t from 'tap';
import type { Namespace } from '../../../src/store/tree/namespace.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const { url, broker } = await startTestServer(t);
const { namespace }: { namespace: Namespace } = broker.store;
const put = (path: string) => http(`${url}/v1/nodes${path}`, 'PUT', '');
const exists = async (path: string) => (await http(`${url}/v1/nodes${path}`)).status === 200;
const hour = 3_600_000;

async function housekeep(unusedContainerMs = hour) {
  while ((await namespace.expireNodes(100, unusedContainerMs)).checked > 0);
}

t.test('a container is deleted after its last child, and then empty containers above it', async (t) => {
  await put('/c?mode=container');
  await put('/c/inner?mode=container');
  await put('/c/inner/kid');
  await housekeep();
  t.ok(await exists('/c/inner/kid'), 'the node stays while it has children');
  await http(`${url}/v1/nodes/c/inner/kid`, 'DELETE');
  await housekeep();
  t.notOk(await exists('/c/inner'));
  t.notOk(await exists('/c'));
});

t.test('a container that never had children is kept for a while and then deleted', async (t) => {
  await put('/unused?mode=container');
  await housekeep();
  t.ok(await exists('/unused'));
  await put('/idle?mode=container');
  await eventually(async () => {
    await housekeep(1);
    return !(await exists('/idle'));
  }, 'it is deleted after that time');
  t.pass();
});

t.test('a TTL node is deleted if it was not set within its TTL and has no children', async (t) => {
  await put('/ttl?ttl=300ms');
  await put('/long?mode=ttl&ttl=1h');
  t.match((await http(`${url}/v1/nodes/ttl?view=stat`)).body.stat, { ephemeralOwner: null });
  await put('/ttl/kid');
  const { mtime } = (await http(`${url}/v1/nodes/ttl?view=stat`)).body.stat;
  await eventually(async () => {
    const { body } = await put('/clock');
    return body.stat.mtime > mtime + 300;
  }, "its time passes by the store's clock");
  await housekeep();
  t.ok(await exists('/ttl'), 'the node stays while it has children');
  await http(`${url}/v1/nodes/ttl/kid`, 'DELETE');
  await housekeep();
  t.notOk(await exists('/ttl'));
  t.ok(await exists('/long'));
});

t.test('setting a TTL node restarts its TTL; creating children does not', async (t) => {
  await put('/fresh?ttl=400ms');
  const { body } = await http(`${url}/v1/nodes/fresh`, 'PUT', 'again');
  await eventually(async () => {
    await housekeep();
    return !(await exists('/fresh'));
  }, 'the node is deleted');
  const gone = (await put('/clock')).body.stat;
  t.ok(gone.mtime > body.stat.mtime + 400);
});

t.test('the broker deletes expired nodes by itself', async (t) => {
  await put('/self?ttl=1ms');
  await eventually(async () => !(await exists('/self')), 'within two of its turns', 12_000);
  t.match((await http(`${url}/metrics`)).body, /weir_transient_nodes_removed_total [1-9]/);
});
