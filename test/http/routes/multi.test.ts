import t from 'tap';
import { http, startTestServer } from '../../helpers/server.ts';

const { url, broker } = await startTestServer(t);
const multi = (...ops: object[]) => http(`${url}/v1/multi`, 'POST', { ops });

t.test('all operations are one transaction with one zxid, and later ones see earlier ones', async (t) => {
  const { status, body } = await multi(
    { op: 'create', path: '/m', data: 'a' },
    { op: 'create', path: '/m/kid' },
    { op: 'set', path: '/m', data: 'b', version: 0 },
    { op: 'check', path: '/m', version: 1 },
    { op: 'delete', path: '/m/kid' },
  );
  t.equal(status, 200);
  t.same(
    body.results.map(({ op, path }: any) => [op, path]),
    [
      ['create', '/m'],
      ['create', '/m/kid'],
      ['set', '/m'],
      ['check', '/m'],
      ['delete', '/m/kid'],
    ],
  );
  const { body: node } = await http(`${url}/v1/nodes/m?view=node`);
  t.match(node, {
    data: 'b',
    stat: { version: 1, cversion: 2, numChildren: 0, czxid: body.zxid, mzxid: body.zxid, pzxid: body.zxid },
  });
});

t.test('a failure changes nothing, and says which operation failed and what became of the others', async (t) => {
  const before = await broker.store.events.newestZxid();
  const response = await multi(
    { op: 'create', path: '/f' },
    { op: 'create', path: '/f/kid' },
    { op: 'delete', path: '/f' },
    { op: 'set', path: '/f', data: '' },
  );
  t.match(response, {
    status: 409,
    body: { code: 'NOT_EMPTY', failed: 2, results: ['OK', 'OK', 'NOT_EMPTY', 'ROLLED_BACK'] },
  });
  t.equal((await http(`${url}/v1/nodes/f`)).status, 404);
  t.equal(await broker.store.events.newestZxid(), before, 'no transaction was made');
});

t.test('checks: version, mzxid, czxid, existence and absence', async (t) => {
  const { body } = await http(`${url}/v1/nodes/check`, 'PUT', '');
  const { czxid, mzxid } = body.stat;
  t.equal((await multi({ op: 'check', path: '/check', version: 0, mzxid, czxid, exists: true })).status, 200);
  t.equal((await multi({ op: 'check', path: '/nothing', exists: false })).status, 200);
  t.equal((await multi({ op: 'check', path: '/check', czxid: czxid + 1 })).body.code, 'BAD_VERSION');
  t.equal((await multi({ op: 'check', path: '/check', mzxid: mzxid + 1 })).body.code, 'BAD_VERSION');
  t.equal((await multi({ op: 'check', path: '/check', exists: false })).body.code, 'NODE_EXISTS');
  t.equal((await multi({ op: 'check', path: '/nothing' })).body.code, 'NO_NODE');
});

t.test('delete and create anew in one transaction starts a new life of the node', async (t) => {
  const session = (await http(`${url}/v1/sessions`, 'POST', { ttl: '30s' })).body;
  await http(`${url}/v1/nodes/anew?mode=ephemeral&session=${session.session}`, 'PUT', 'old');
  const { body } = await multi({ op: 'delete', path: '/anew' }, { op: 'create', path: '/anew', data: 'new' });
  const { body: node } = await http(`${url}/v1/nodes/anew?view=node`);
  t.match(node, { data: 'new', stat: { czxid: body.zxid, version: 0, ephemeralOwner: null } });
  t.same((await http(`${url}/v1/sessions/${session.session}`)).body.ephemerals, []);
  await multi({ op: 'delete', path: '/anew' }, { op: 'create', path: '/anew' }, { op: 'delete', path: '/anew' });
  t.equal((await http(`${url}/v1/nodes/anew`)).status, 404);
  t.notOk((await http(`${url}/v1/nodes/?view=children`)).body.children.includes('anew'));
});

t.test('four thousand operations that write fit into one transaction, and ten thousand checks', async (t) => {
  await http(`${url}/v1/nodes/many`, 'PUT', '');
  const ops = Array.from({ length: 4000 }, () => ({ op: 'create', path: '/many/n-', sequential: true }));
  const { status, body } = await multi(...ops);
  t.equal(status, 200);
  t.equal(body.results.length, 4000);
  t.equal(body.results.at(-1).path, '/many/n-0000003999');
  const { transactions } = await broker.store.events.range('main', body.zxid - 1, body.zxid, 10);
  t.equal(transactions[0]!.events.length, 4000);
  const checks = Array.from({ length: 10_000 }, () => ({ op: 'check', path: '/many' }));
  t.equal((await multi(...checks)).status, 200);
  const refused = await multi(...ops, { op: 'create', path: '/many/more' });
  t.match(refused, { status: 413, body: { code: 'TOO_LARGE', operations: 4001, maxWrites: 4000 } });
  t.equal((await http(`${url}/v1/nodes/many?recursive=true`, 'DELETE')).status, 204);
});

t.test('an empty multi succeeds, and malformed ones name what is wrong', async (t) => {
  t.match(await multi(), { status: 200, body: { results: [] } });
  t.match(await multi({ op: 'crate', path: '/x' }), { status: 400, body: { detail: /ops\.0\.op/ } });
  t.match(await multi({ op: 'create', path: '/x', dat: '' }), { status: 400, body: { detail: /'dat'/ } });
  t.match(await multi({ op: 'create', path: '/x', data: 'a', dataBase64: 'YQ==' }), {
    status: 400,
    body: { detail: /not both/ },
  });
  t.match(await multi({ op: 'create', path: '/x', contentType: 'text/plain\nx: y' }), {
    status: 400,
    body: { detail: /contentType/ },
  });
  t.match(await multi({ op: 'create', path: '/x', mode: 'ephemeral' }), { status: 400, body: { failed: 0 } });
  t.match(await multi({ op: 'check', path: '/' }, { op: 'create', path: 'x' }), {
    status: 400,
    body: { code: 'INVALID_PATH', failed: 1, results: ['OK', 'INVALID_PATH'] },
  });
});

t.test('a repeated multi with one Idempotency-Key is applied once', async (t) => {
  await http(`${url}/v1/nodes/idem`, 'PUT', '');
  const headers = { 'idempotency-key': 'multi-1' };
  const body = { ops: [{ op: 'create', path: '/idem/n-', sequential: true }] };
  const first = await http(`${url}/v1/multi`, 'POST', body, headers);
  const again = await http(`${url}/v1/multi`, 'POST', body, headers);
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  t.equal((await http(`${url}/v1/nodes/idem?view=stat`)).body.stat.numChildren, 1);
});

t.test(
  'a set needs data, perhaps empty; a session makes a node ephemeral, and contradicts any other mode',
  async (t) => {
    const session = (await http(`${url}/v1/sessions`, 'POST', { ttl: '60s' })).body;
    await http(`${url}/v1/nodes/kept`, 'PUT', 'kept');
    for (const op of [
      { op: 'set', path: '/kept' },
      { op: 'set', path: '/kept', version: 0 },
      { op: 'create', path: '/other', session: session.session, mode: 'persistent' },
      { op: 'create', path: '/other', session: session.session, ttl: '10s' },
    ]) {
      const detail = op.op === 'set' ? /ops\.1.*needs data/ : /ops\.1.*ephemeral.*mode is (persistent|ttl)/;
      const response = await multi({ op: 'create', path: '/before' }, op);
      t.match(response, { status: 400, body: { code: 'BAD_REQUEST', failed: 1, detail } }, JSON.stringify(op));
    }
    t.equal((await http(`${url}/v1/nodes/kept`)).body, 'kept');
    t.equal((await multi({ op: 'set', path: '/kept', data: '' })).status, 200);
    t.match(await multi({ op: 'create', path: '/owned', session: session.session }), {
      status: 200,
      body: { results: [{ stat: { ephemeralOwner: session.id } }] },
    });
  },
);

t.test('one slash at the end of a path is dropped, but for the empty prefix of a sequential node', async (t) => {
  const { body } = await multi(
    { op: 'create', path: '/slashed/' },
    { op: 'create', path: '/slashed/', sequential: true },
    { op: 'check', path: '/slashed/' },
    { op: 'set', path: '/slashed/', data: 'x' },
    { op: 'delete', path: '/slashed/0000000000/' },
  );
  t.same(
    body.results.map(({ path }: any) => path),
    ['/slashed', '/slashed/0000000000', '/slashed', '/slashed', '/slashed/0000000000'],
  );
  t.match(await multi({ op: 'check', path: '/slashed//' }), { status: 400, body: { code: 'INVALID_PATH' } });
});
