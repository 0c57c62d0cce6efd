// A policy that changes while its server is at work: under load no request is decided by anything but one of the policies, and tokens
// rotate without a refused request.
import t, { type Test } from 'tap';
import { newToken } from '../../src/access/tokens.ts';
import { writePolicy } from '../helpers/access.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const common = 'allow:\n  - { who: ops, admin: true }\n  - { who: bob, nodes: { "/app/**": [read, write] } }\n';
const mayRead = (path: string) => `${common}  - { who: alice, nodes: { "${path}": [read] } }\n`;
const policy = await writePolicy(t, ['ops', 'alice', 'bob', 'carol'], mayRead('/app/a'));
const server = await startTestServer(t, { accessFile: policy.file });
const call = (headers: Record<string, string>, method: string, path: string, body?: unknown) =>
  http(`${server.url}${path}`, method, body, headers);
for (const path of ['app', 'app/a', 'app/b']) await call(policy.as('ops'), 'PUT', `/v1/nodes/${path}`, 'x');

const hash = () => server.broker.access.policy?.hash;

/** Changes the policy, and waits until it is used. */
async function change(write: () => Promise<void>): Promise<void> {
  const before = hash();
  await write();
  await server.broker.access.reload();
  await eventually(() => hash() !== before, 'the policy is used');
}

/** Does something again and again until `stop` is called, which returns how often. */
function again(t: Test, act: () => Promise<void>): () => Promise<number> {
  let [isRunning, count] = [true, 0];
  const run = (async () => {
    for (; isRunning; count += 1) await act();
  })();
  run.catch((error) => t.fail(String(error)));
  return async () => {
    isRunning = false;
    await run;
    return count;
  };
}

t.test(
  'under load each request is decided by one whole policy, and files that are not valid change nothing',
  async (t) => {
    const socket = await openPipeline(t, server.url, { headers: policy.as('bob') });
    const watch = await openSocket(t, `${server.url}/v1/watch`, policy.as('bob'));
    watch.send({ type: 'watch', id: 'w', path: '/app', mode: 'recursive' });
    await watch.frame({ type: 'watching' });
    /** Which path alice may read, by the hash of the policy. */
    const readable = new Map([[hash(), 'a']]);
    const stops = [
      again(t, async () => {
        for (const path of ['a', 'b']) {
          const before = hash();
          const { status } = await call(policy.as('alice'), 'GET', `/v1/nodes/app/${path}`);
          if (before === hash()) t.equal(status, readable.get(before) === path ? 200 : 403, `${path} under ${before}`);
          else t.ok(status === 200 || status === 403);
        }
      }),
      again(t, async () => {
        const { status } = await call(policy.as('bob'), 'PUT', '/v1/nodes/app/a', 'y');
        if (status !== 200) t.equal(status, 200, 'bob may under each policy');
        const { ok, error } = await socket.ask({ op: 'set', path: '/app/b', data: 'z' });
        if (!ok) t.fail(JSON.stringify(error));
      }),
      again(t, async () => {
        const { status } = await call(policy.as('carol'), 'GET', '/v1/nodes/app/a');
        if (status !== 403) t.equal(status, 403, 'carol may under none');
      }),
    ];
    for (let turn = 0; turn < 6; turn += 1) {
      const path = turn % 2 === 0 ? 'b' : 'a';
      // A comment makes it another file.
      await change(() => policy.change(`${mayRead(`/app/${path}`)}# ${turn}\n`));
      readable.set(hash(), path);
      const kept = hash();
      await policy.write('alow: [');
      await server.broker.access.reload();
      t.equal(hash(), kept, 'a file that is not valid changes nothing');
    }
    const counts = await Promise.all(stops.map((stop) => stop()));
    t.ok(
      counts.every((count) => count > 10),
      `${counts} rounds`,
    );
    t.ok(server.broker.access.errors >= 6);
    t.equal(socket.ws.readyState, socket.ws.OPEN);
    t.equal(watch.ws.readyState, watch.ws.OPEN);
    t.notOk(
      watch.frames.some(({ type }) => type === 'error'),
      'open sockets go on',
    );
  },
);

t.test(
  'tokens rotate without a refused request: what came from the old one ends with it, and sessions go on',
  async (t) => {
    const [old, fresh] = [newToken('alice-old'), newToken('alice-new')];
    const ofOps = policy.tokens.ops!;
    const write = (...tokens: { id: string; sha256: string }[]) => {
      const list = tokens.map(({ id, sha256 }) => `{ id: ${id}, sha256: "${sha256}" }`).join(', ');
      const identities = `  alice: { tokens: [ ${list} ] }\n  ops: { tokens: [ { id: ${ofOps.id}, sha256: "${ofOps.sha256}" } ] }\n`;
      const rules = 'allow:\n  - { who: ops, admin: true }\n  - { who: alice, nodes: { "/app/**": [read, write] } }\n';
      return policy.write(`identities:\n${identities}${rules}`);
    };
    const as = ({ token }: { token: string }) => ({ authorization: `Bearer ${token}` });
    await change(() => write(old));
    t.equal((await call(as(fresh), 'GET', '/v1/nodes/app')).status, 401, 'not yet');
    await change(() => write(old, fresh));
    for (const each of [old, fresh])
      t.equal((await call(as(each), 'GET', '/v1/nodes/app')).status, 200, 'both are valid');

    const opened = async (token: { token: string }) => {
      const pipeline = await openPipeline(t, server.url, { headers: as(token) });
      const { ok } = await pipeline.ask({ op: 'session', ttl: '1h' });
      await pipeline.ask({ op: 'watch', path: '/app', mode: 'node' });
      const socket = await openSocket(t, `${server.url}/v1/watch`, as(token));
      const stream = await openEventStream(t, `${server.url}/v1/watch/app`, as(token));
      await stream.message(() => true, 'the stream has begun');
      const allow = [{ nodes: { '/app': ['read'] } }];
      const derived = (await call(as(token), 'POST', '/v1/access/tokens', { ttl: '1h', allow })).body;
      return { pipeline, socket, stream, derived, session: ok.session as string };
    };
    const [ofOld, ofNew] = [await opened(old), await opened(fresh)];
    const stop = again(t, async () => {
      const { status } = await call(as(fresh), 'GET', '/v1/nodes/app');
      if (status !== 200) t.equal(status, 200, 'a client that has changed over is never refused');
    });
    await change(() => write(fresh));
    t.equal((await ofOld.pipeline.closed).code, 4401);
    t.equal(await ofOld.socket.closed, 4401);
    await ofOld.stream.end();
    t.match(ofOld.stream.messages.at(-1), { event: 'problem', data: { code: 'AUTH_REQUIRED' } });
    for (const gone of [old, ofOld.derived]) t.equal((await call(as(gone), 'GET', '/v1/nodes/app')).status, 401);

    t.equal((await call(as(ofNew.derived), 'GET', '/v1/nodes/app')).status, 200);
    t.ok((await ofNew.pipeline.ask({ op: 'set', path: '/app', data: 'new' })).ok);
    await ofNew.stream.message(({ data }) => data.type === 'events', 'what belongs to the new one goes on');
    t.equal(ofNew.socket.ws.readyState, ofNew.socket.ws.OPEN);
    t.equal(
      (await call(as(fresh), 'PUT', `/v1/sessions/${ofOld.session}`)).status,
      200,
      'sessions are of the identity',
    );
    t.ok((await stop()) > 0);
  },
);
