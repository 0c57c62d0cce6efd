import t from 'tap';
import { eventsBefore } from '../../../src/broker/watches/event-history.ts';
import type { NodeEvent, Transaction } from '../../../src/store/tree/node-codec.ts';
import { writePolicy } from '../../helpers/access.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const identities = ['reader', 'nobody'];
const policy = await writePolicy(
  t,
  [...identities, 'admin'],
  'allow:\n  - { who: admin, admin: true }\n  - who: reader\n    nodes: { "/open/**": [read] }\n    groups: { "g": [use] }\n',
);
const { url } = await startTestServer(t, { accessFile: policy.file });
const call = (method: string, path: string, body?: unknown, as = 'admin') =>
  http(`${url}/v1${path}`, method, body, policy.as(as));
const put = (path: string, body = '') => call('PUT', `/nodes${path}`, body);

/** All transactions, page by page. */
async function pages(query: string, as = 'admin'): Promise<any[]> {
  const found: any[] = [];
  let before = '';
  for (;;) {
    const { status, body } = await call('GET', `/events?${query}${before}`, undefined, as);
    if (status !== 200) throw new Error(`${status} ${body.detail}`);
    found.push(...body.transactions);
    if (body.next === undefined) return found;
    before = `&before=${body.next}`;
  }
}

const changes = (transactions: any[]) =>
  transactions.map(({ events }) => events.map(({ type, path }: any) => `${type} ${path}`).join(', '));

t.test('what happened is listed backwards, by transactions, and by part of the tree', async (t) => {
  await put('/open', 'one');
  await put('/secret');
  const ops = [
    { op: 'create', path: '/open/a', data: 'A' },
    { op: 'set', path: '/secret', data: 'S' },
  ];
  const { body: multi } = await call('POST', '/multi', { ops });
  await put('/opening');
  const deleted = await call('DELETE', '/nodes/open/a');

  const { body, headers } = await call('GET', '/events?path=/open');
  t.same(changes(body.transactions), ['deleted /open/a', 'created /open/a', 'created /open']);
  t.equal(body.transactions[1].zxid, multi.zxid);
  t.equal(body.transactions[1].events[0].data, undefined);
  t.ok(Number(headers.get('weir-zxid')) >= Number(deleted.headers.get('weir-zxid')));

  const { body: withData } = await call('GET', `/events?path=/open/&data&limit=1&before=${body.transactions[0].zxid}`);
  t.match(withData.transactions, [{ events: [{ type: 'created', path: '/open/a', data: 'A', encoding: 'utf8' }] }]);
  t.ok(withData.next > 0);
  t.equal(changes((await call('GET', '/events?limit=1')).body.transactions)[0], 'deleted /open/a');
  t.ok(changes(await pages('')).includes('created /open/a, changed /secret'));
});

t.test('pages of any size have the same transactions, also those that were written at once', async (t) => {
  await put('/open/many');
  await Promise.all(Array.from({ length: 60 }, (_, i) => put(`/open/many/n${i}`)));
  const all = await pages('path=/open/many');
  t.equal(all.length, 61);
  t.same(
    all.map(({ zxid }) => zxid),
    all.map(({ zxid }) => zxid).sort((a, b) => b - a),
  );
  for (const limit of [1, 7, 61]) t.same(await pages(`path=/open/many&limit=${limit}`), all, `limit=${limit}`);
});

t.test('commits of offsets are listed with the path of a group only', async (t) => {
  await call('POST', '/topics', { name: 'c', partitions: 2 });
  const offsets = [0, 1].map((partition) => ({ topic: 'c', partition, offset: 0 }));
  await call('POST', '/groups/g/offsets', { offsets });
  await call('POST', '/groups/g/offsets', { offsets: offsets.slice(1) });
  const own = await pages('path=/consumers/g/offsets&limit=1');
  t.equal(changes(own)[0], 'changed /consumers/g/offsets/c/1');
  t.match(changes(own).at(-1), /created \/consumers\/g\/offsets/);
  t.notMatch(changes(await pages('')).join(), '/consumers/g/offsets/c/1');
});

t.test('a caller gets what it may read, and no more', async (t) => {
  const seen = (await pages('', 'reader')).flatMap(({ events }) => events.map(({ path }: any) => path));
  t.ok(seen.includes('/open/a'));
  t.same(
    seen.filter((path) => path === '/secret' || path === '/opening'),
    [],
  );
  t.match(await call('GET', '/events?path=/secret', undefined, 'reader'), { status: 403 });
  t.match(await call('GET', '/events?path=/open', undefined, 'nobody'), { status: 403 });
  t.equal((await http(`${url}/v1/events`)).status, 401);
});

t.test('a fault in the request is named', async (t) => {
  for (const [query, code] of [
    ['path=open', 'INVALID_PATH'],
    ['path=/open//x', 'INVALID_PATH'],
    ['before=0', 'BAD_REQUEST'],
    ['limit=1001', 'BAD_REQUEST'],
    ['kind=created', 'BAD_REQUEST'],
  ] as const) {
    t.match(await call('GET', `/events?${query}`), { status: 400, body: { code } }, query);
  }
});

t.test('one call looks at a bounded part of the history, and says where to go on', async (t) => {
  const event = (path: string) => ({ kind: 'deleted', path, stat: {} }) as unknown as NodeEvent;
  let reads = 0;
  const bytes = 100;
  const endless = {
    rangeBefore: async (_history: string, before: number, count: number) => {
      reads += 1;
      const transactions: Transaction[] = Array.from({ length: count }, (_, i) => ({
        zxid: before - 1 - i,
        events: [event('/other')],
        bytes,
      }));
      return { transactions, complete: false };
    },
  };
  const request = { path: '/a', before: 1_000_000, limit: 10, data: false, mayRead: () => true };
  const { transactions, next } = await eventsBefore(endless, request);
  t.same(transactions, []);
  t.equal(next, 1_000_000 - 2000);
  t.equal(reads, 4);
});
