// A cluster with things that a hostile client may not see, and the means to prove that it saw none of them and changed none. What is
// in hidden things, and the names of those that nobody can guess, contain a mark; whatever a hostile client receives is searched for it.
import { Buffer } from 'node:buffer';
import type { Test } from 'tap';
import { type TestPolicy, writePolicy } from './access.ts';
import { kafkaPost } from './kafka-rest.ts';
import { http, startTestServer, type TestServer } from './server.ts';

/** In all that is hidden. */
export const mark = 'zq7xhush';
/** The mark as text, and as it is within base64, where it can begin in three ways. */
const marks = [mark, ...[0, 1, 2].map(inBase64)];

/** The characters that depend on the mark alone, if `before` bytes are before it. */
function inBase64(before: number): string {
  const text = Buffer.from(`${'-'.repeat(before)}${mark}--`).toString('base64');
  return text.slice(Math.ceil((8 * before) / 6), Math.floor((8 * (before + mark.length)) / 6));
}

/** A name that hidden things have and that can be guessed, and one of the same length that nothing has. */
export const guessed = 'vault';
export const absent = 'ghost';
/** Names that nobody can guess: one before those of the client, and one behind them. */
const unguessable = [`mine-${mark}`, mark];

const hostileRules = `
public: [docs]
allow:
  - who: ops
    admin: true
  - who: lowly
    nodes: { "/mine/**": [read, write, delete], "/": [read] }
    topics: { "mine.*": [read, write, manage] }
    groups: { "mine.*": [use, manage] }
    producers: { "mine.*": [use] }
`;

interface HostileWorld {
  server: TestServer;
  policy: TestPolicy;
  ops: Call;
  lowly: Call;
  /** The public id of a session of ops, which is in stats; the id of a derived token of ops. */
  sessionId: string;
  tokenId: string;
  /** All that only an admin sees, as one text: it must be the same after an attack. */
  snapshot(): Promise<string>;
  /** Changes hidden things of all kinds, for those who watch. */
  disturb(): Promise<void>;
}

type Call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => ReturnType<typeof http>;

/** Fails if a text that a hostile client received has the mark. @param what it did, for the message */
export function hasNoMark(t: Test, received: string, what: string): void {
  const found = marks.find((each) => received.includes(each));
  if (found === undefined) return;
  const at = received.indexOf(found);
  t.fail(`${what}: received ${received.slice(Math.max(0, at - 300), at + 100)}`);
}

export async function startHostileWorld(t: Test): Promise<HostileWorld> {
  const policy = await writePolicy(t, ['ops', 'lowly'], hostileRules);
  const server = await startTestServer(t, { accessFile: policy.file, brokerId: 1001 });
  const as =
    (identity: string): Call =>
    async (method, path, body, headers = {}) => {
      const answer = await http(`${server.url}${path}`, method, body, { ...policy.as(identity), ...headers });
      return answer;
    };
  const done =
    (call: Call): Call =>
    async (method, path, body, headers) => {
      const answer = await call(method, path, body, headers);
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer;
    };
  const [ops, lowly] = [as('ops'), as('lowly')];
  const make = done(ops);
  const session = (await make('POST', '/v1/sessions', { ttl: '1h', label: `${mark}-label` })).body;
  for (const path of [guessed, `${guessed}/${mark}-child`, ...unguessable]) {
    await make('PUT', `/v1/nodes/${path}`, `${mark} data`);
  }
  await make('PUT', `/v1/nodes/${guessed}/${mark}-ephemeral?mode=ephemeral`, mark, { 'weir-session': session.session });
  await make('PUT', '/v1/nodes/mine', 'mine');
  for (const name of [guessed, ...unguessable]) {
    await make('POST', '/v1/topics', { name, partitions: 2 });
    const records = [
      { key: `${mark}-key`, value: { text: mark }, headers: { [`${mark}-header`]: mark }, partition: 0 },
    ];
    await make('POST', `/v1/topics/${name}/records`, { records }, { 'weir-fence': `${mark}-fence=1` });
  }
  for (const group of [guessed, ...unguessable]) {
    const member = { topics: [guessed, ...unguessable], memberId: `${mark}-member`, clientId: `${mark}-client` };
    await make('POST', `/v1/groups/${group}/members`, { ...member, sessionTimeout: '1h' });
  }
  const offsets = [{ topic: guessed, partition: 0, offset: 1, metadata: `${mark}-metadata` }];
  await make('POST', '/v1/groups/idle/offsets', { offsets });
  for (const name of [guessed, ...unguessable]) await make('POST', '/v1/producers', { name });
  const instance = { name: `${mark}-instance`, format: 'json', 'auto.offset.reset': 'earliest' };
  await kafkaPost(`${server.url}/consumers/${guessed}`, instance, undefined, policy.as('ops'));
  const allow = [{ nodes: { [`/${mark}/**`]: ['read'] } }];
  const token = (await make('POST', '/v1/access/tokens', { ttl: '1h', allow })).body;

  const own = done(lowly);
  for (const name of ['mine.t', 'mine.u']) {
    await own('POST', '/v1/topics', { name, partitions: 1 });
    await own('POST', `/v1/topics/${name}/records`, { records: [{ key: 'a', value: 1 }] });
  }

  const read = async (path: string) => (await make('GET', path)).body;
  const snapshot = async () => {
    const { tree } = await read(`/v1/nodes/${guessed}?view=tree`);
    const topics = await Promise.all([guessed, ...unguessable].map((name) => read(`/v1/topics/${name}`)));
    const groups = await Promise.all([guessed, ...unguessable, 'idle'].map((name) => read(`/v1/groups/${name}`)));
    const offsets = await read('/v1/groups/idle/offsets');
    const fences = await read(`/v1/topics/${guessed}/partitions/0/fences`);
    const { producers } = await read('/v1/producers');
    const { tokens } = await read('/v1/access/tokens');
    const { sessions } = await read('/v1/sessions?limit=1000');
    const ofOps = sessions.filter(({ label }: { label?: string }) => label?.startsWith(mark)).map(({ id }: any) => id);
    const names = (await read('/v1/nodes/?view=children')).body?.children;
    const hidden = producers.filter(({ name }: { name: string }) => !name.startsWith('mine'));
    return JSON.stringify({ tree, topics, groups, offsets, fences, hidden, tokens, ofOps, names }, null, 1);
  };
  let turn = 0;
  const disturb = async () => {
    turn += 1;
    await make('PUT', `/v1/nodes/${guessed}`, `${mark} ${turn}`);
    await make('PUT', `/v1/nodes/${mark}-top-${turn}`, mark);
    await make('PUT', `/v1/nodes/${guessed}/${mark}-child-${turn}`, mark);
    await make('DELETE', `/v1/nodes/${guessed}/${mark}-child-${turn}`);
    await make('POST', '/v1/topics', { name: `${mark}-topic-${turn}`, partitions: 1 });
    await make('POST', `/v1/topics/${guessed}/records`, { records: [{ key: mark, value: mark }] });
    await make('POST', `/v1/groups/${mark}-group-${turn}/members`, { topics: [guessed], memberId: `${mark}-${turn}` });
  };
  return { server, policy, ops, lowly, sessionId: session.id, tokenId: token.id, snapshot, disturb };
}
