// The kind of a node, in whatever way its stat is read: tools draw and copy nodes by it.
import t from 'tap';
import { openEventStream } from '../../helpers/event-stream.ts';
import { openPipeline } from '../../helpers/pipeline.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const { url } = await startTestServer(t);
const nodes = `${url}/v1/nodes`;
const { session } = (await http(`${url}/v1/sessions`, 'POST', { ttl: '60s' })).body;
const kinds = {
  p: ['', { mode: 'persistent' }],
  e: [`?session=${session}`, { mode: 'ephemeral' }],
  c: ['?mode=container', { mode: 'container' }],
  t: ['?mode=ttl&ttl=1h', { mode: 'ttl', ttlMs: 3_600_000 }],
} as const;
const kindOf = ({ mode, ttlMs }: any) => (ttlMs === undefined ? { mode } : { mode, ttlMs });

t.test('every view, event and socket gives the kind of a node', async (t) => {
  const { headers } = await http(`${nodes}/k`, 'PUT');
  const since = headers.get('weir-zxid');
  for (const [name, [query, kind]] of Object.entries(kinds)) {
    const created = await http(`${nodes}/k/${name}${query}`, 'PUT', 'x');
    t.same(kindOf(created.body.stat), kind, `${name} as created`);
    for (const read of ['', '&read=local', '&read=local']) {
      const { stat } = (await http(`${nodes}/k/${name}?view=stat${read}`)).body;
      t.same(kindOf(stat), kind, `${name} with view=stat${read}`);
    }
    const raw = await http(`${nodes}/k/${name}`);
    t.same(kindOf(JSON.parse(raw.headers.get('weir-stat')!)), kind, `${name} in Weir-Stat`);
    t.same(kindOf((await http(`${nodes}/k/${name}?view=node`)).body.stat), kind, `${name} with view=node`);
  }
  const expected = Object.fromEntries(Object.entries(kinds).map(([name, [, kind]]) => [name, kind]));
  const byName = (list: any[]) => Object.fromEntries(list.map(({ name, stat }) => [name, kindOf(stat)]));
  t.same(byName((await http(`${nodes}/k?view=children&stats`)).body.children), expected, 'children with stats');
  t.same(byName((await http(`${nodes}/k?view=tree`)).body.tree.children), expected, 'the tree');

  const byPath = (events: any[]) => Object.fromEntries(events.map(({ path, stat }) => [path.slice(3), kindOf(stat)]));
  const { transactions } = (await http(`${url}/v1/events?path=/k&limit=4`)).body;
  t.same(byPath(transactions.flatMap(({ events }: any) => events)), expected, 'past transactions');
  const stream = await openEventStream(t, `${url}/v1/watch/k?mode=recursive&since=${since}`);
  await stream.message(({ data }) => data.events?.some(({ path }: any) => path === '/k/t'), 'the last event');
  t.same(byPath(stream.messages.flatMap(({ data }) => data.events ?? [])), expected, 'events');

  const socket = await openPipeline(t, url);
  for (const [name, [, kind]] of Object.entries(kinds)) {
    t.same(kindOf((await socket.ask({ op: 'get', path: `/k/${name}` })).ok.stat), kind, `${name} on a socket`);
  }
  const created = await socket.ask({ op: 'create', path: '/k/t2', mode: 'ttl', ttl: '2s' });
  t.same(kindOf(created.ok.stat), { mode: 'ttl', ttlMs: 2000 }, 'created on a socket');
});

t.test('the kind comes through a set, a multi, a copy and an import as it was', async (t) => {
  await http(`${nodes}/from`, 'PUT');
  for (const name of ['c', 't'] as const) await http(`${nodes}/from/${name}${kinds[name][0]}`, 'PUT', 'x');
  t.same(kindOf((await http(`${nodes}/from/t`, 'PUT', 'y')).body.stat), kinds.t[1], 'after a set');
  const { results } = (await http(`${url}/v1/multi`, 'POST', { ops: [{ op: 'set', path: '/from/c', data: 'z' }] }))
    .body;
  t.same(kindOf(results[0].stat), kinds.c[1], 'after a multi');
  await http(`${url}/v1/copy`, 'POST', { from: '/from', to: '/copied' });
  const lines = (await (await fetch(`${nodes}/from?view=export`)).text()).trim();
  await http(`${url}/v1/import?path=/imported`, 'POST', lines, { 'content-type': 'application/x-ndjson' });
  for (const top of ['copied', 'imported']) {
    for (const name of ['c', 't'] as const) {
      t.same(kindOf((await http(`${nodes}/${top}/${name}?view=stat`)).body.stat), kinds[name][1], `${name} ${top}`);
    }
  }
});
