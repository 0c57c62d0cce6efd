// Random histories against the model: every response, stat and child list must match it. fast-check shrinks a failing
// history to a short one.

import fc from 'fast-check';
import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../src/core/actor.ts';
import { ServiceError } from '../../src/core/service-error.ts';
import { Store } from '../../src/store/store.ts';
import type { Op } from '../../src/store/tree/namespace.ts';
import { brokerCredential } from '../../src/store/tree/sessions.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { TreeModel } from './tree-model.ts';

/** WEIR_MODEL_RUNS=10000 searches for longer. */
const runs = Number(process.env.WEIR_MODEL_RUNS ?? 300);
const maxNodeBytes = 8;

const { socketPath } = await startTestRedis(t);
const store = new Store(
  {
    target: { socketPath },
    storeWaitMs: 10_000,
    storeTimeoutMs: 8000,
    prefix: 'model',
    sessionMinTtlMs: 1,
    sessionMaxTtlMs: 1e9,
    maxNodeBytes,
    eventRetention: 1000,
  },
  pino({ level: 'silent' }),
);
await store.open();
t.teardown(() => store.close());

/** A step of a history. Paths are relative to the root of the history; a session is the number of a slot. */
type Step = { kind: 'write'; ops: StepOp[] } | { kind: 'end'; session: number };

interface StepOp {
  op: Op['op'];
  path: string;
  data: string;
  session: number | undefined;
  mode: 'persistent' | 'ephemeral' | 'container' | 'ttl';
  sequential: boolean;
  parents: boolean;
  version: number | undefined;
  exists: boolean;
}

const segment = fc.constantFrom('a', 'b', 'c');
const path = fc.oneof(
  { weight: 12, arbitrary: fc.array(segment, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`) },
  { weight: 1, arbitrary: fc.constantFrom('/..', '/a/.', '/a//b', '/b/\u0001', '/a/') },
);
const stepOp: fc.Arbitrary<StepOp> = fc.record({
  op: fc.constantFrom(
    'create',
    'create',
    'create',
    'put',
    'set',
    'delete',
    'delete-recursive',
    'check',
  ) as fc.Arbitrary<Op['op']>,
  path,
  data: fc.constantFrom('', 'x', 'data', 'too large for it'),
  session: fc.option(fc.nat(2), { nil: undefined }),
  mode: fc.constantFrom('persistent', 'persistent', 'ephemeral', 'container', 'ttl'),
  sequential: fc.boolean(),
  parents: fc.boolean(),
  version: fc.option(fc.integer({ min: -1, max: 2 }), { nil: undefined }),
  exists: fc.boolean(),
});
/** A recursive delete is a transaction of its own. */
const inMulti = (op: StepOp): StepOp => (op.op === 'delete-recursive' ? { ...op, op: 'delete' } : op);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      ops: fc.array(stepOp, { minLength: 1, maxLength: 1 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      ops: fc.array(stepOp.map(inMulti), { minLength: 2, maxLength: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end' as const), session: fc.nat(2) }) },
);

function operation(root: string, step: StepOp, sessions: string[]): Op {
  const at = root + step.path;
  const session = step.session === undefined ? undefined : brokerCredential(sessions[step.session]!);
  const version = step.version;
  switch (step.op) {
    case 'create':
    case 'put': {
      // An ephemeral node without a session is refused before the store is called.
      const mode = step.mode === 'ephemeral' && !session ? 'persistent' : step.mode;
      const kind = { mode, ...(mode === 'ttl' && { ttlMs: 3_600_000 }), ...(session && { session }) };
      return {
        op: step.op,
        path: at,
        data: step.data,
        parents: step.parents,
        sequential: step.op === 'create' && step.sequential,
        ...kind,
      };
    }
    case 'set':
      return { op: 'set', path: at, data: step.data, version };
    case 'check':
      return { op: 'check', path: at, version, ...(step.exists ? {} : { exists: false }) };
    default:
      return { op: step.op, path: at, version };
  }
}

let histories = 0;
// A longer search needs more than the default timeout of tap.
t.setTimeout(240_000 + runs * 500);

t.test(`${runs} random histories end as the model says, step by step`, { timeout: 240_000 + runs * 500 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      histories += 1;
      const root = `/h${histories}`;
      await store.namespace.writeOne({ op: 'create', path: root });
      const model = new TreeModel(root, maxNodeBytes);
      const sessions: string[] = [];
      for (let i = 0; i < 3; i += 1) sessions.push((await store.sessions.create(1e9, unrestricted)).id);
      for (const id of sessions) model.sessions.add(id);
      const rootZxid = (await store.namespace.stat(root)).stat.czxid;
      /** The zxid of each transaction of the model. */
      const zxids = [rootZxid];

      for (const next of steps) {
        if (next.kind === 'end') {
          const id = sessions[next.session]!;
          if (!model.sessions.has(id)) continue;
          const before = model.transactions;
          const { zxid } = await store.sessions.end(brokerCredential(id));
          model.endSession(id);
          if (model.transactions > before) zxids.push(zxid);
        } else {
          const ops = next.ops.map((op) => operation(root, op, sessions));
          const before = model.transactions;
          const expected = model.write(ops);
          const got = await outcome(ops);
          equal(got.outcome, expected, { ops });
          if (model.transactions > before) zxids.push(got.zxid!);
        }
        await compare(root, model, zxids);
      }
      for (const id of sessions) if (model.sessions.has(id)) await store.sessions.end(brokerCredential(id));
    }),
    { numRuns: runs },
  );
});

async function outcome(ops: Op[]) {
  try {
    const { results, zxid } = await store.namespace.write(ops);
    return { outcome: { code: 'OK', results: results.map(({ path: at }) => at) }, zxid };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return { outcome: { code: error.code, failed: error.fields.failed } };
  }
}

/** Compares data, stat and children of all nodes, and that there are no others than in the model. */
async function compare(root: string, model: TreeModel, zxids: number[]): Promise<void> {
  const seen: string[] = [];
  const { tree } = await store.namespace.tree(root, { depth: 10, limit: 10_000 });
  const visit = (node: typeof tree, at: string) => {
    seen.push(at);
    for (const child of node.children ?? []) visit(child, `${at}/${child.name}`);
  };
  visit(tree, root);
  equal(seen.sort(), [...model.nodes.keys()].sort(), 'the paths of all nodes');
  await Promise.all(
    [...model.nodes].map(async ([at, node]) => {
      const { stat, data } = await store.namespace.get(at);
      const children = await store.namespace.allChildren(at);
      equal(children, model.children(at), `children of ${at}`);
      const { ctime: _, mtime: __, ...fields } = stat;
      equal(
        { ...fields, data: data.toString() },
        {
          czxid: zxids[node.czxid]!,
          mzxid: zxids[node.mzxid]!,
          pzxid: zxids[node.pzxid]!,
          version: node.version,
          cversion: node.created + node.deleted,
          aversion: 0,
          ephemeralOwner: node.owner ?? null,
          dataLength: node.data.length,
          numChildren: children.length,
          mode: node.mode,
          ...(node.mode === 'ttl' && { ttlMs: 3_600_000 }),
          data: node.data,
        },
        `node ${at}`,
      );
    }),
  );
}

function equal(got: unknown, expected: unknown, what: unknown): void {
  const [a, b] = [sorted(got), sorted(expected)];
  if (a !== b) throw new Error(`${JSON.stringify(what)}\ngot      ${a}\nexpected ${b}`);
}

function sorted(value: unknown): string {
  return JSON.stringify(value, (_key, v) =>
    v && typeof v === 'object' && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort()) : v,
  );
}
