// Random histories of a session with two connections that lose replies and repeat (guarantee S5), against a simple model: each write
// takes effect at most once, in order, and none behind a lost one.

import fc from 'fast-check';
import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../../src/core/actor.ts';
import { hasCode } from '../../../src/core/service-error.ts';
import { Store } from '../../../src/store/store.ts';
import { parseHandle, type SessionCredential } from '../../../src/store/tree/sessions.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, testConfig } from '../../helpers/server.ts';

type WriteResult = Awaited<ReturnType<Store['namespace']['write']>>;

/** WEIR_MODEL_RUNS=5000 searches for longer. */
const runs = Number(process.env.WEIR_MODEL_RUNS ?? 40);
/** How many of the newest results must be kept, and how many may be. */
const keptMin = 256;
const keptMax = 256 + 15;

const { socketPath } = await startTestRedis(t);
const openStore = async () => {
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  return store;
};
/** The brokers of the two connections. */
const stores = [await openStore(), await openStore()] as const;

/** A burst of writes on one connection, without waiting for replies. */
interface Burst {
  connection: 0 | 1;
  /** Whether the connection is attached before it. */
  attaches: boolean;
  /** The sequences, relative to the next one: 0 is the next, negative ones are repeats, and larger ones leave a gap. */
  places: number[];
  /** How many of each write's operations are sets; -1 for a write that fails. */
  sizes: number[];
  /** How many writes of others are between them, so that some share calls with the burst. */
  others: number;
  /** Whether the connection to Redis breaks after the burst was sent; both connections then attach again. */
  breaks: boolean;
}

const place = fc.oneof(
  { weight: 20, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.integer({ min: -12, max: -1 }) },
  { weight: 1, arbitrary: fc.integer({ min: -400, max: -200 }) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 3 }) },
);
const burst: fc.Arbitrary<Burst> = fc.record({
  connection: fc.constantFrom(0 as const, 1 as const),
  attaches: fc.oneof({ weight: 1, arbitrary: fc.constant(true) }, { weight: 2, arbitrary: fc.constant(false) }),
  places: fc.oneof(
    { weight: 3, arbitrary: fc.array(place, { minLength: 1, maxLength: 20 }) },
    // So many that results are dropped.
    { weight: 1, arbitrary: fc.constant(Array<number>(150).fill(0)) },
  ),
  sizes: fc.array(fc.constantFrom(1, 1, 1, 3, -1), { minLength: 1, maxLength: 7 }),
  others: fc.nat(3),
  breaks: fc.oneof({ weight: 1, arbitrary: fc.constant(true) }, { weight: 6, arbitrary: fc.constant(false) }),
});

/** What the model expects of one write: carried out now, a repeat, or refused with a code. */
type Expected = { kind: 'new' | 'repeat'; seq: number } | { kind: 'refused'; code: string };

class SessionModel {
  epochs: [number, number] = [0, 0];
  current = 0;
  last = 0;
  /** By sequence, the result as it was given first. */
  readonly results = new Map<number, string>();
  /** Sets that took effect. */
  version = 0;

  expect(connection: 0 | 1, seq: number): Expected {
    if (this.epochs[connection] !== this.current) return { kind: 'refused', code: 'SESSION_MOVED' };
    if (seq === this.last + 1) {
      this.last = seq;
      return { kind: 'new', seq };
    }
    if (seq > this.last || seq <= this.last - keptMax) return { kind: 'refused', code: 'OUT_OF_ORDER_SEQUENCE' };
    return { kind: 'repeat', seq };
  }
}

const outcomeOf = (settled: PromiseSettledResult<WriteResult>): { text: string; replayed: boolean; code: string } => {
  if (settled.status === 'fulfilled') {
    const { replayed, ...rest } = settled.value;
    return { text: JSON.stringify(rest), replayed, code: 'OK' };
  }
  const error = settled.reason as { code: string; message: string; fields: Record<string, unknown> };
  const { replayed = false, ...fields } = error.fields;
  return { text: JSON.stringify([error.code, error.message, fields]), replayed: replayed === true, code: error.code };
};

let histories = 0;
t.setTimeout(120_000 + runs * 3000);

t.test(`${runs} random histories of two connections`, { timeout: 120_000 + runs * 3000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(burst, { minLength: 1, maxLength: 12 }), async (bursts) => {
      histories += 1;
      const path = `/h${histories}`;
      await stores[0].namespace.write([{ op: 'create', path }]);
      const session = parseHandle((await stores[0].sessions.create(600_000, unrestricted)).handle, unrestricted);
      const model = new SessionModel();
      for (const each of bursts) await play(each, path, session, model);
      // The client sends what has no response again after it attached: here all that is kept.
      await attach(0, session, model);
      const from = Math.max(1, model.last - keptMin + 1);
      const again = Array.from({ length: model.last - from + 1 }, (_, i) => from + i);
      const repeats = await Promise.allSettled(again.map((seq) => write(0, path, session, model, seq, 1)));
      for (const [i, seq] of again.entries())
        same(outcomeOf(repeats[i]!).text, model.results.get(seq), `repeat of ${seq}`);
      same((await stores[0].namespace.stat(path)).stat.version, model.version, 'sets in effect');
      await stores[0].sessions.end(session);
    }),
    { numRuns: runs },
  );
});

async function attach(connection: 0 | 1, session: SessionCredential, model: SessionModel): Promise<void> {
  const { epoch, lastSeq } = await stores[connection].sessions.attach(session);
  same(lastSeq, model.last, 'lastSeq');
  model.epochs[connection] = epoch;
  model.current = epoch;
}

/** By sequence, the operations of a write: a repeat is the same write. */
const sizesOf = new WeakMap<SessionModel, Map<number, number>>();

function write(
  connection: 0 | 1,
  path: string,
  session: SessionCredential,
  model: SessionModel,
  seq: number,
  wanted: number,
): Promise<WriteResult> {
  const sizes = sizesOf.get(model) ?? new Map<number, number>();
  sizesOf.set(model, sizes);
  const size = sizes.get(seq) ?? wanted;
  if (!sizes.has(seq)) sizes.set(seq, size);
  const set = { op: 'set' as const, path, data: String(seq) };
  const steps = size < 0 ? [{ ...set, version: 1_000_000 }] : Array.from({ length: size }, () => set);
  const epoch = model.epochs[connection];
  return stores[connection].namespace.write(steps, {
    origin: origins[connection],
    sequence: { sessionId: session.id, epoch, seq },
  });
}

const origins = [{ isDead: false }, { isDead: false }] as const;

async function play(
  { connection, attaches, places, sizes, others, breaks }: Burst,
  path: string,
  session: SessionCredential,
  model: SessionModel,
): Promise<void> {
  if (attaches || model.current === 0) await attach(connection, session, model);
  const expected: Expected[] = [];
  const sent = places.map((relative, i) => {
    const seq = Math.max(1, model.last + 1 + relative);
    expected.push(model.expect(connection, seq));
    for (let other = 0; other < others; other += 1) {
      const read = stores[connection].namespace.stat(path, { origin: origins[connection] });
      read.catch(() => 'the connection is broken');
    }
    return write(connection, path, session, model, seq, sizes[i % sizes.length]!);
  });
  if (breaks) await breakConnection(connection);
  const settled = await Promise.allSettled(sent);
  const acknowledged = settled.map((one) => !(one.status === 'rejected' && hasCode(one.reason, 'STORE_UNAVAILABLE')));
  if (breaks) {
    // As far as they were carried out, it was the first ones, and all that have a response.
    const fresh = expected.flatMap((one, i) =>
      one.kind === 'new' ? [{ seq: one.seq, isAcknowledged: acknowledged[i]! }] : [],
    );
    const least =
      fresh.findLast(({ isAcknowledged }) => isAcknowledged)?.seq ?? (fresh[0] ? fresh[0].seq - 1 : model.last);
    const { lastSeq } = await eventually(
      () => stores[connection].sessions.attach(session).catch(() => undefined),
      'the session is attached again',
    );
    same(lastSeq >= least && lastSeq <= model.last, true, `${least} <= ${lastSeq} <= ${model.last}`);
    for (const { seq, isAcknowledged } of fresh) {
      const size = sizesOf.get(model)!.get(seq)!;
      if (seq > lastSeq) sizesOf.get(model)!.delete(seq);
      else if (!isAcknowledged) model.version += Math.max(0, size);
    }
    model.last = lastSeq;
    await attach(connection, session, model);
    for (const { seq, isAcknowledged } of fresh.filter((one) => one.seq <= lastSeq)) {
      if (isAcknowledged) continue;
      const [repeat] = await Promise.allSettled([write(connection, path, session, model, seq, 1)]);
      same(outcomeOf(repeat!).replayed, true, `the repeat of ${seq}, which had no response`);
      model.results.set(seq, outcomeOf(repeat!).text);
    }
  }
  for (const [i, wanted] of expected.entries()) {
    if (!acknowledged[i]) {
      same(breaks, true, 'a request without a response');
      continue;
    }
    const outcome = outcomeOf(settled[i]!);
    const what = `${JSON.stringify(wanted)} got ${outcome.text}`;
    if (wanted.kind === 'refused') {
      same(outcome.code, wanted.code, what);
      continue;
    }
    const mayBeGone = wanted.kind === 'repeat' && wanted.seq <= model.last - keptMin;
    if (mayBeGone && hasCode((settled[i] as PromiseRejectedResult).reason, 'OUT_OF_ORDER_SEQUENCE')) continue;
    same(outcome.replayed, wanted.kind === 'repeat', what);
    if (wanted.kind === 'repeat') same(outcome.text, model.results.get(wanted.seq), what);
    else {
      model.results.set(wanted.seq, outcome.text);
      const size = sizesOf.get(model)!.get(wanted.seq)!;
      same(outcome.code, size < 0 ? 'BAD_VERSION' : 'OK', what);
      model.version += Math.max(0, size);
    }
  }
}

/** Breaks the connection of a broker to Redis, with the requests that were just sent. */
async function breakConnection(connection: 0 | 1): Promise<void> {
  const { client } = await stores[connection].connection.connectionOf(`{${testConfig.prefix}}:root`);
  await new Promise((resolve) => setImmediate(resolve));
  client.stream.destroy();
}

function same(got: unknown, expected: unknown, what: string): void {
  if (got !== expected) throw new Error(`${what}\ngot      ${String(got)}\nexpected ${String(expected)}`);
}
