import t from 'tap';
import type { Namespace } from '../../../src/store/tree/namespace.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const { url, broker } = await startTestServer(t);
const { namespace }: { namespace: Namespace } = broker.store;
const put = (path: string) => http(`${url}/v1/nodes${path}`, 'PUT', '');
const exists = async (path: string) => (await http(`${url}/v1/nodes${path}`)).status === 200;
const hour = 3_600_000;

async function housekeep(unusedContainerMs = hour) {
  while ((await namespace.expireNodes(100, unusedContainerMs)).looked > 0);
}

t.test('a container goes when its last child has gone, and containers above it follow', async (t) => {
  await put('/c?mode=container');
  await put('/c/inner?mode=container');
  await put('/c/inner/kid');
  await housekeep();
  t.ok(await exists('/c/inner/kid'), 'not while it has children');
  await http(`${url}/v1/nodes/c/inner/kid`, 'DELETE');
  await housekeep();
  t.notOk(await exists('/c/inner'));
  t.notOk(await exists('/c'));
});

t.test('a container that was never used is kept for a while, then goes', async (t) => {
  await put('/unused?mode=container');
  await housekeep();
  t.ok(await exists('/unused'));
  await put('/idle?mode=container');
  await eventually(async () => {
    await housekeep(1);
    return !(await exists('/idle'));
  }, 'it goes when its while is over');
  t.pass();
});

t.test('a TTL node goes when it was not set for its time and has no children', async (t) => {
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
  t.ok(await exists('/ttl'), 'not while it has children');
  await http(`${url}/v1/nodes/ttl/kid`, 'DELETE');
  await housekeep();
  t.notOk(await exists('/ttl'));
  t.ok(await exists('/long'));
});

t.test('setting a TTL node gives it its full time again; children do not', async (t) => {
  await put('/fresh?ttl=400ms');
  const { body } = await http(`${url}/v1/nodes/fresh`, 'PUT', 'again');
  await eventually(async () => {
    await housekeep();
    return !(await exists('/fresh'));
  }, 'it goes');
  const gone = (await put('/clock')).body.stat;
  t.ok(gone.mtime > body.stat.mtime + 400);
});

t.test('the broker does it by itself', async (t) => {
  await put('/self?ttl=1ms');
  await eventually(async () => !(await exists('/self')), 'within two of its turns', 12_000);
  t.match((await http(`${url}/metrics`)).body, /weir_transient_nodes_removed_total [1-9]/);
});
