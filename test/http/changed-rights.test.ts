// What becomes of connections when the rights of their client change: sockets, event streams, long polls and uploads, each when a rule is
// taken away, when its token is, when that expires, and when it is given to another identity.
import t, { type Test } from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const admin = 'allow:\n  - who: ops\n    admin: true\n';
const rules = `${admin}  - who: alice
    nodes: { "/app": [read] }
    topics: { orders: [read, write] }
    groups: { "*": [use] }
`;
const policy = await writePolicy(t, ['ops', 'alice', 'bob'], rules);
const server = await startTestServer(t, { accessFile: policy.file });
const ops = (method: string, path: string, body?: unknown) =>
  http(`${server.url}${path}`, method, body, policy.as('ops'));
await ops('PUT', '/v1/nodes/app', 'x');
await ops('POST', '/v1/topics', { name: 'orders', partitions: 1 });

type Headers = Record<string, string>;

/** A connection that is open and waits. `end` settles with the code of the error that ends it. */
type Open = (t: Test, headers: Headers) => Promise<{ end: Promise<string> }>;

const codes: Record<number, string> = { 4401: 'AUTH_REQUIRED', 4403: 'FORBIDDEN' };

function socket(path: string, first?: object, ready?: Record<string, unknown>): Open {
  return async (t, headers) => {
    const { closed, send, frame, frames } = await openSocket(t, `${server.url}${path}`, headers);
    if (first) send(first);
    if (ready) await frame(ready);
    // The last frame says why.
    const ended = closed.then(
      (code) => (frames.at(-1)?.code === codes[code] ? codes[code] : undefined) ?? String(code),
    );
    if (!first) return { end: ended };
    const watchEnds = eventually(() => frames.find(({ type }) => type === 'error')?.code as string, 'an error');
    return { end: Promise.race([ended, watchEnds]) };
  };
}

function stream(path: string): Open {
  return async (t, headers) => {
    const open = await openEventStream(t, `${server.url}${path}`, headers);
    await open.message(() => true, 'the stream has begun');
    return { end: open.end().then(() => open.messages.at(-1)?.data.code as string) };
  };
}

/** @param wake makes the server respond, if the client still may have the response */
function poll(method: string, path: string, more: Headers = {}, wake?: () => Promise<unknown>): Open {
  return async (_t, headers) => {
    const answer = http(`${server.url}${path}`, method, undefined, { ...headers, ...more });
    return {
      end: (async () => {
        await wake?.();
        const { status, body } = await answer;
        return body.code ?? String(status);
      })(),
    };
  };
}

const kinds: Record<string, Open> = {
  'a watch socket': socket('/v1/watch', { type: 'watch', id: 'a', path: '/app', mode: 'node' }, { type: 'watching' }),
  'a pipelined socket with a watch': async (t, headers) => {
    const { ask, closed, event } = await openPipeline(t, server.url, { headers });
    t.ok((await ask({ op: 'watch', path: '/app', mode: 'node' })).ok);
    return {
      end: Promise.race([closed.then(({ code }) => codes[code] ?? ''), event('error').then(({ code }) => code)]),
    };
  },
  'a topic tail over a socket': socket('/v1/topics/orders/stream'),
  'a member on a socket': socket('/v1/groups/g/stream?topics=orders', undefined, { type: 'joined' }),
  'an event stream of a watch': stream('/v1/watch/app'),
  'an event stream of a topic': stream('/v1/topics/orders/stream'),
  'an upload': async (t, headers) => {
    let push!: (line: string) => void;
    let close!: () => void;
    const body = new ReadableStream({
      start(controller) {
        push = (line) => controller.enqueue(new TextEncoder().encode(line));
        close = () => controller.close();
      },
    });
    const init = {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/x-ndjson' },
      body,
      duplex: 'half',
    };
    const answer = fetch(`${server.url}/v1/topics/orders/records?results=live`, init as RequestInit);
    push('{"value":1}\n');
    const { body: results } = await answer;
    const reader = results!.pipeThrough(new TextDecoderStream()).getReader();
    t.match((await reader.read()).value, /baseOffset/);
    const read = async () => {
      for (let text = ''; ; ) {
        const { value, done } = await reader.read();
        text += value ?? '';
        const code = /"code":"(\w+)"/.exec(text)?.[1];
        if (code !== undefined || done) return code ?? 'no error';
      }
    };
    const timer = setInterval(() => push('{"value":2}\n'), 50);
    t.teardown(() => clearInterval(timer));
    const end = read().finally(() => {
      clearInterval(timer);
      close();
    });
    return { end };
  },
};

/** Opens one of each kind, changes something, and checks how each ends. */
async function checkAll(t: Test, headers: Headers, change: () => Promise<unknown>, expected: string): Promise<void> {
  const all = await Promise.all(
    Object.entries(kinds).map(async ([name, open]) => ({ name, ...(await open(t, headers)) })),
  );
  await change();
  for (const { name, end } of all) t.equal(await end, expected, name);
}

t.afterEach(async () => {
  await policy.change(rules);
  await eventually(
    async () => (await http(`${server.url}/v1/nodes/app`, 'GET', undefined, policy.as('alice'))).status === 200,
    'the policy is used again',
  );
});

t.test('a rule that is taken away ends what needs it, with FORBIDDEN', async (t) => {
  const left = `${admin}  - who: alice\n    nodes: { "/other": [read] }\n`;
  await checkAll(t, policy.as('alice'), () => policy.change(left), 'FORBIDDEN');
});

t.test('a token that is taken away ends everything, with AUTH_REQUIRED', async (t) => {
  await checkAll(t, policy.as('alice'), () => policy.change(rules, ['alice']), 'AUTH_REQUIRED');
});

t.test('a token that expires ends everything, with AUTH_REQUIRED', async (t) => {
  const allow = [{ nodes: { '/app': ['read'] }, topics: { orders: ['read', 'write'] }, groups: { '*': ['use'] } }];
  const { body } = await http(`${server.url}/v1/access/tokens`, 'POST', { ttl: '5s', allow }, policy.as('alice'));
  await checkAll(t, { authorization: `Bearer ${body.token}` }, async () => undefined, 'AUTH_REQUIRED');
});

t.test('a token that is given to another identity ends everything, also if that may do the same', async (t) => {
  const { id, sha256 } = policy.tokens.alice!;
  const ofOps = policy.tokens.ops!;
  const identities = `identities:\n  bob: { tokens: [ { id: ${id}, sha256: "${sha256}" } ] }\n  ops: { tokens: [ { id: ${ofOps.id}, sha256: "${ofOps.sha256}" } ] }\n`;
  await checkAll(
    t,
    policy.as('alice'),
    () => policy.write(`${identities}${rules.replace('who: alice', 'who: bob')}`),
    'AUTH_REQUIRED',
  );
});

t.test('a long poll is checked again before it responds', async (t) => {
  const { headers } = await ops('GET', '/v1/nodes/app');
  const member = await http(`${server.url}/v1/groups/p/members`, 'POST', { topics: ['orders'] }, policy.as('alice'));
  const secret = { 'weir-member': member.body.memberSecret };
  const end = (await http(`${server.url}/v1/topics/orders/partitions/0`, 'GET', undefined, policy.as('ops'))).body
    .endOffset;
  const polls = {
    'of a node': poll('GET', '/v1/nodes/app?wait=20s', { 'if-none-match': headers.get('etag')! }),
    'of records': poll('GET', `/v1/topics/orders/partitions/0/records?wait=20s&offset=${end}`),
    'of a member': poll('POST', `/v1/groups/p/members/${member.body.memberId}/records?wait=20s`, secret),
  };
  const open = await Promise.all(
    Object.entries(polls).map(async ([name, start]) => ({ name, ...(await start(t, policy.as('alice'))) })),
  );
  await policy.change(rules, ['alice']);
  await eventually(
    async () => (await http(`${server.url}/v1/nodes/app`, 'GET', undefined, policy.as('alice'))).status === 401,
    'the policy is used',
  );
  await ops('PUT', '/v1/nodes/app', 'changed');
  await ops('POST', '/v1/topics/orders/records', { records: [{ value: 'secret' }] });
  for (const { name, end: ended } of open) t.equal(await ended, 'AUTH_REQUIRED', name);
});

t.test('a policy that changes while a client is being admitted applies to it', async (t) => {
  const allow = [{ nodes: { '/app': ['read'] } }];
  const { body } = await http(`${server.url}/v1/access/tokens`, 'POST', { allow }, policy.as('alice'));
  const { accessTokens } = server.broker.store;
  const { get } = accessTokens;
  t.teardown(() => Object.assign(accessTokens, { get }));
  let asked = 0;
  let release!: () => void;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  Object.assign(accessTokens, {
    get: async (id: string) => {
      asked += 1;
      const found = await get.call(accessTokens, id);
      await held;
      return found;
    },
  });
  const socket = openSocket(t, `${server.url}/v1/watch`, { authorization: `Bearer ${body.token}` });
  await eventually(() => asked > 0, 'the token is looked up');
  const before = server.broker.access.policy?.hash;
  await policy.change(rules, ['alice']);
  await eventually(() => server.broker.access.policy?.hash !== before, 'the policy has changed');
  release();
  t.equal(await (await socket).closed, 4401);
});

t.test('the sessions of an identity that has no token any more expire, and an admin may end them', async (t) => {
  const { headers } = { headers: policy.as('alice') };
  const socket = await openPipeline(t, server.url, { headers });
  const { ok } = await socket.ask({ op: 'session', ttl: '2s' });
  const other = (await http(`${server.url}/v1/sessions`, 'POST', { ttl: '1h' }, headers)).body;
  await policy.change(rules, ['alice']);
  t.equal((await socket.closed).code, 4401);
  await eventually(async () => (await ops('GET', `/v1/sessions/${ok.session}`)).status === 410, 'it has expired');
  t.equal((await ops('DELETE', `/v1/sessions/${other.id}?force=true`)).status, 204);
});
