// The limits of one import.
import { Readable } from 'node:stream';
import t from 'tap';
import { importNodes } from '../../src/http/node-import.ts';

/** Imports lines into nothing. @returns what was written, chunk by chunk */
async function run(lines: object[], options: { dryRun?: boolean; nodesMax?: number; trialPathsLengthMax?: number }) {
  const { dryRun = false, nodesMax = 1000, trialPathsLengthMax = 1000 } = options;
  const source = Readable.from(lines.map((line) => Buffer.from(`${JSON.stringify(line)}\n`)));
  const chunks: string[][] = [];
  const { result } = await importNodes(source, {
    onConflict: 'fail',
    dryRun,
    parents: false,
    to: undefined,
    idempotency: undefined,
    maxNodeBytes: 1024 * 1024,
    limits: { nodesMax, trialPathsLengthMax },
    countLine: () => undefined,
    requireNode: () => undefined,
    write: async (ops) => {
      chunks.push(ops.map(({ path }) => path));
      return { zxid: 1, replayed: false, results: ops.map(({ path }) => ({ op: 'create', path, stat: undefined })) };
    },
  });
  return { chunks, result };
}

t.test('an import ends at its limit of nodes', async (t) => {
  const lines = Array.from({ length: 11 }, (_, i) => ({ path: `/${i}` }));
  t.equal((await run(lines.slice(0, 10), { nodesMax: 10 })).result.created, 10);
  await t.rejects(run(lines, { nodesMax: 10 }), { code: 'TOO_LARGE', fields: { line: 11 } });
});

t.test('a dry run ends at its limit of paths, of which an import keeps none', async (t) => {
  const lines = Array.from({ length: 501 }, (_, i) => ({ path: `/${'x'.repeat(9)}${i}` }));
  await t.rejects(run(lines, { dryRun: true, trialPathsLengthMax: 500 }), { code: 'TOO_LARGE' });
  t.equal((await run(lines, { trialPathsLengthMax: 500 })).result.created, 501);
});

t.test('a chunk ends at its number of nodes, and before its bytes are exceeded', async (t) => {
  const small = Array.from({ length: 501 }, (_, i) => ({ path: `/${i}` }));
  t.same(
    (await run(small, {})).chunks.map(({ length }) => length),
    [500, 1],
  );
  const large = [400_000, 400_000, 400_000, 1024 * 1024, 1].map((size, i) => ({
    path: `/${i}`,
    data: 'x'.repeat(size),
  }));
  t.same((await run(large, {})).chunks, [['/0', '/1'], ['/2'], ['/3'], ['/4']]);
});
