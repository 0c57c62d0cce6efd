// Exports, imports and copies by the client.
import t from 'tap';
import { startTestServer } from '../../test/helpers/server.ts';
import type { ExportEnd, NodeLine } from '../src/index.ts';
import { startClient } from './client.ts';

const server = await startTestServer(t);
const { tree } = startClient(t, server.url);

async function exported(path: string): Promise<{ nodes: NodeLine[]; end: ExportEnd }> {
  const nodes: NodeLine[] = [];
  const lines = tree.export(path);
  for (;;) {
    const { done, value } = await lines.next();
    if (done) return { nodes, end: value };
    nodes.push(value);
  }
}

async function* inPieces(text: string, length: number) {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

t.test('what is exported is imported elsewhere, in parts, as nodes, as text or as bytes', async (t) => {
  await tree.create('/a', 'é');
  await tree.create('/a/kept', new Uint8Array([0, 255]), { mode: 'ttl', ttl: '1h' });
  const ops = Array.from({ length: 1200 }, (_, i) => `/a/${i}`);
  for (let at = 0; at < ops.length; at += 400) {
    const multi = tree.multi();
    for (const path of ops.slice(at, at + 400)) multi.create(path, { path });
    await multi.commit();
  }
  const { nodes, end } = await exported('/a');
  t.match(end, { end: true, nodes: 1202, ephemerals: 0 });
  t.match(nodes.at(-1), { path: '/a/kept', data: 'AP8=', encoding: 'base64', mode: 'ttl', ttlMs: 3_600_000 });

  const first = await tree.import(tree.export('/a'), { path: '/b' });
  t.match(first, { lines: 1202, created: 1202, same: 0, complete: false, dryRun: false });
  const text = [...nodes, end].map((line) => `${JSON.stringify(line)}\n`).join('');
  const again = { lines: 1202, created: 0, same: 1202, complete: true };
  t.match(await tree.import([...nodes, end], { path: '/b' }), again);
  t.match(await tree.import(text, { path: '/b' }), again);
  t.match(await tree.import(inPieces(text, 1000), { path: '/b' }), again);
  t.same(
    (await exported('/b')).nodes,
    nodes.map((node) => ({ ...node, path: node.path.replace('/a', '/b') })),
  );
  const { zxid } = (await exported('/b')).end;
  t.match(await tree.import(text, { path: '/c', dryRun: true }), { created: 1202, dryRun: true });
  t.equal((await exported('/b')).end.zxid, zxid, 'a dry run writes nothing');
});

t.test('a dry run of any length gives the counts and faults of the import', async (t) => {
  const data = 'x'.repeat(500_000);
  // Three parts, of which the later ones begin below nodes that none has created.
  const lines: NodeLine[] = [{ path: '/t' }, { path: '/t/deep' }, { path: '/t/deep/er' }];
  for (let i = 0; i < 40; i += 1) lines.push({ path: `/t/deep/er/${String(i).padStart(2, '0')}`, data });
  lines.push({ path: '/t/last' });
  const foreseen = await tree.import(lines, { dryRun: true });
  t.match(foreseen, { lines: 44, created: 44, dryRun: true });
  t.equal(await tree.exists('/t'), false);
  const orphan = [...lines, { path: '/t/none/x' }];
  await t.rejects(tree.import(orphan, { dryRun: true }), {
    code: 'NO_PARENT',
    fields: { line: 45 },
  });
  t.match(await tree.import(lines), { lines: 44, created: 44 });
  await tree.set('/t/deep/er/39', 'other');
  const changed = { same: 43, skipped: 1, created: 0 };
  t.match(await tree.import(lines, { dryRun: true, onConflict: 'skip' }), changed);
  await t.rejects(tree.import(lines, { dryRun: true }), { code: 'NODE_EXISTS', fields: { line: 43 } });
  await tree.remove('/t', { recursive: true });
});

t.test('lines that name no parents are imported with them', async (t) => {
  const flat = [
    { path: '/flat/a/b', data: '1' },
    { path: '/flat/c', data: '2' },
  ];
  await t.rejects(tree.import(flat), { code: 'NO_PARENT', fields: { line: 1 } });
  t.match(await tree.import(flat, { parents: true, dryRun: true }), { created: 2, dryRun: true });
  t.match(await tree.import(flat, { parents: true }), { created: 2 });
  t.same((await tree.children('/flat')).names, ['a', 'c']);
});

t.test('a failure names the line and what was done before it', async (t) => {
  await tree.create('/f');
  const lines: NodeLine[] = Array.from({ length: 1001 }, (_, i) => ({ path: `/f/${i}` }));
  lines.push({ path: '/f/none/x' });
  await t.rejects(tree.import(lines), {
    code: 'NO_PARENT',
    fields: { line: 1002, applied: { lines: 1000, created: 1000 } },
  });
  t.equal((await tree.stat('/f'))?.numChildren, 1000);
  await tree.set('/f/7', 'other');
  await t.rejects(tree.import(lines.slice(0, 10)), { code: 'NODE_EXISTS', fields: { line: 8 } });
  t.match(await tree.import(lines.slice(0, 10), { onConflict: 'skip' }), { skipped: 1, same: 9 });
  t.match(await tree.import(lines.slice(0, 10), { onConflict: 'overwrite' }), { overwritten: 1, same: 9 });
  const cut = [lines[0]!, { end: true, nodes: 2 } as ExportEnd];
  await t.rejects(tree.import(cut), { code: 'BAD_REQUEST', fields: { line: 2 } });
  await t.rejects(tree.import([{ path: '/f' }, { path: '/g' }], { path: '/h' }), { code: 'BAD_REQUEST' });
  await t.rejects(exported('/none'), { code: 'NO_NODE' });
});

t.test('an export that breaks off is no export', async (t) => {
  const weir = startClient(t, server.url, {
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      const text = await response.text();
      return new Response(text.split('\n').slice(0, 2).join('\n'), { status: 200 });
    },
  });
  const nodes: NodeLine[] = [];
  await t.rejects(
    async () => {
      for await (const node of weir.tree.export('/f')) nodes.push(node);
    },
    { code: 'UNREACHABLE', retryable: true, detail: /last line/ },
  );
  t.equal(nodes.length, 2);
});

t.test('a reader may stop, and a signal ends the export', async (t) => {
  for await (const { path } of tree.export('/f')) {
    t.equal(path, '/f');
    break;
  }
  const controller = new AbortController();
  await t.rejects(
    async () => {
      for await (const _ of tree.export('/f', { signal: controller.signal })) controller.abort(new Error('enough'));
    },
    { message: 'enough' },
  );
});

t.test('a subtree is copied and moved', async (t) => {
  await tree.create('/o', 'x');
  await tree.create('/o/p', 'y');
  const { nodes, stat } = await tree.copy('/o', '/o2');
  t.match({ nodes, stat }, { nodes: 2, stat: { numChildren: 1, version: 0 } });
  await tree.copy('/o', '/o3', { move: true });
  t.equal(await tree.exists('/o'), false);
  t.equal((await tree.get('/o3/p'))?.text, 'y');
  await t.rejects(tree.copy('/o2', '/o3'), { code: 'NODE_EXISTS' });
});
