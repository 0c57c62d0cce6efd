// What a client makes of lost connections, lost responses and lost sessions.
import t from 'tap';
import { WebSocket } from 'ws';
import { startFaultyNetwork } from '../../test/helpers/faulty-network.ts';
import { eventually, http, startTestServer } from '../../test/helpers/server.ts';
import { type Sessions, type WebSocketLike, Weir } from '../src/index.ts';
import { startClient } from './client.ts';

const server = await startTestServer(t);

t.test('writes whose responses were lost take effect once, in order', async (t) => {
  const network = await startFaultyNetwork(t, server.url);
  const { tree, heard } = startClient(t, network.url);
  await tree.create('/lost');
  for (let round = 0; round < 5; round += 1) {
    const all = Array.from({ length: 300 }, () => tree.createSequential('/lost/n-'));
    // Some have their responses, some are on their way, some wait for room.
    await Promise.race(all);
    network.cut();
    await Promise.all(all);
  }
  t.ok(heard.filter(({ type }) => type === 'disconnected').length >= 5);
  const { names } = await tree.children('/lost');
  t.equal(names.length, 1500, 'none twice, none missing');
  t.equal(names.at(-1), 'n-0000001499');
});

t.test('over HTTP as well', async (t) => {
  const network = await startFaultyNetwork(t, server.url);
  const { tree } = startClient(t, network.url, { webSocket: null });
  await tree.create('/lost-http');
  for (let round = 0; round < 3; round += 1) {
    network.loseReplyTo('POST /v1/nodes/lost-http');
    await tree.createSequential('/lost-http/n-');
  }
  t.equal(network.repliesLost, 3);
  t.equal((await tree.children('/lost-http')).names.length, 3);
});

t.test('a session whose creation has lost its response is the one that the client has', async (t) => {
  const weir = startClient(t, server.url, { webSocket: losingFirstFrame() });
  const session = await weir.session({ ttl: '1m', label: 'lost response' });
  const { sessions } = await weir.request<Sessions>({ path: '/v1/sessions?limit=1000' });
  const created = sessions.filter(({ label }) => label === 'lost response');
  t.same(
    created.map(({ id }) => id),
    [session.id],
  );
  await session.tree.create('/mine-after-all', '', { mode: 'ephemeral' });
  t.match(await weir.tree.stat('/mine-after-all'), { ephemeralOwner: session.id });
});

t.test('one that has also ended before the client is back is followed by another one', async (t) => {
  let ended = '';
  const endIt = async (frame: string) => {
    const { id, session } = JSON.parse(frame).ok;
    ended = id;
    await http(`${server.url}/v1/sessions/self`, 'DELETE', undefined, { 'weir-session': session });
  };
  const weir = startClient(t, server.url, { webSocket: losingFirstFrame(endIt) });
  const session = await weir.session({ ttl: '1m' });
  t.match(ended, /./);
  t.not(session.id, ended);
  await session.tree.create('/mine-alone', '', { mode: 'ephemeral' });
});

t.test('watches and sessions go on through another broker', async (t) => {
  const two = await startTestServer(t, {}, server.target);
  const network = await startFaultyNetwork(t, server.url);
  const weir = startClient(t, network.url);
  await weir.tree.create('/both');
  const watch = weir.watch('/both', { mode: 'recursive' });
  await watch.started;
  await weir.tree.create('/both/mine', '', { mode: 'ephemeral' });
  t.match(await watch.next(), { value: { events: [{ path: '/both/mine' }] } });
  network.redirect(two.url);
  await http(`${server.url}/v1/nodes/both/a`, 'PUT', '');
  await http(`${server.url}/v1/nodes/both/b`, 'PUT', '');
  t.match(await watch.next(), { value: { events: [{ path: '/both/a' }] } });
  t.match(await watch.next(), { value: { events: [{ path: '/both/b' }] } });
  t.ok(await weir.tree.exists('/both/mine'));
  t.same(
    weir.heard.flatMap((event) => (event.type === 'session' ? event.state : [])),
    ['connected', 'suspended', 'connected'],
  );
  await watch.return();
});

t.test('a client without a URL, and a consumer without a group, are refused where they are made', async (t) => {
  for (const options of [undefined, {}, { url: undefined }, { url: [] }])
    t.throws(() => new Weir(options as never), { name: 'TypeError', message: /url names no server/ });
  t.throws(() => new Weir({ url: 'localhost:7070' }), { name: 'TypeError', message: /is not the URL of a server/ });
  const weir = startClient(t, server.url);
  for (const options of [undefined, { topics: ['t'] }, { group: '', topics: ['t'] }])
    t.throws(() => weir.consumer(options as never), { name: 'TypeError', message: /name of its group/ });
});

t.test('of several brokers the next is used when one does not respond', async (t) => {
  const urls = ['http://127.0.0.1:9', server.url];
  const [socket, plain] = [startClient(t, urls), startClient(t, urls, { webSocket: null })];
  t.equal(await socket.tree.exists('/'), true);
  t.equal(await plain.tree.exists('/'), true);
});

t.test(
  'the signal of a session is aborted when nothing renews it, and there is a new one when it is found alive',
  async (t) => {
    const network = await startFaultyNetwork(t, server.url);
    const weir = startClient(t, network.url, { sessionTtl: '3s' });
    const session = await weir.ownSession();
    const { signal } = session;
    network.stall();
    await eventually(() => signal.aborted, 'it is aborted');
    t.match(signal.reason, { code: 'SESSION_EXPIRED' });
    t.not(session.state, 'connected');
    network.resume();
    network.cut();
    // A busy machine may take longer than the rest of the time to live: then it is lost, and its signal stays as it is.
    await eventually(() => session.state !== 'suspended', 'it is known what became of it');
    t.equal(session.signal.aborted, session.state === 'lost');
  },
);

t.test('a session that has ended is lost, and what only it could do fails', async (t) => {
  const weir = startClient(t, server.url, { sessionTtl: '5s' });
  const session = await weir.session();
  const states: string[] = [];
  session.onState((state) => states.push(state));
  await session.tree.create('/of-session', '', { mode: 'ephemeral' });
  await http(`${server.url}/v1/sessions/${session.id}?force=true`, 'DELETE');
  await eventually(() => session.state === 'lost', 'it is lost');
  t.ok(session.signal.aborted);
  t.same(states, ['lost']);
  await t.rejects(session.tree.create('/of-session'), { code: 'SESSION_EXPIRED' });
  const own = await weir.ownSession();
  await http(`${server.url}/v1/sessions/${own.id}?force=true`, 'DELETE');
  await eventually(() => own.state === 'lost', 'that of the client as well');
  await weir.tree.create('/of-next', '', { mode: 'ephemeral' });
  t.not((await weir.ownSession()).id, own.id, 'but it gets another');
});

t.test(
  'an operation that no server responds to fails in time, and says whether it may have taken effect',
  async (t) => {
    const network = await startFaultyNetwork(t, server.url);
    const { tree } = startClient(t, network.url, { retry: { for: '1500ms', minDelay: 10, maxDelay: 100 } });
    await tree.createSequential('/known-');
    network.block();
    const write = tree.createSequential('/unknown-');
    await t.rejects(write, { code: 'UNREACHABLE', retryable: true, maybeDone: true });
    const unsent = startClient(t, 'http://127.0.0.1:9', { retry: { for: '300ms', minDelay: 10 } });
    await t.rejects(unsent.tree.create('/never'), { code: 'UNREACHABLE', maybeDone: false });
  },
);

t.test('a client with throttled timers, as in a hidden tab, renews its session when a frame arrives', async (t) => {
  const timers = t.intercept(globalThis, 'setInterval', { value: () => undefined });
  const weir = startClient(t, server.url, { sessionTtl: '4s' });
  await weir.tree.create('/throttled');
  timers.restore();
  const session = await weir.ownSession();
  const first = session.deadline;
  const watch = weir.watch('/throttled');
  await watch.started;
  await eventually(async () => {
    await http(`${server.url}/v1/nodes/throttled`, 'PUT', 'something arrives');
    return session.deadline > first;
  }, 'it was renewed');
  t.equal(session.state, 'connected');
  t.notOk(session.signal.aborted);
  await watch.return();
});

t.test('a caller that gives up does not hold up those behind it', async (t) => {
  const network = await startFaultyNetwork(t, server.url);
  const { tree } = startClient(t, network.url);
  await tree.create('/given-up');
  const controller = new AbortController();
  network.delay(50);
  const first = tree.create('/given-up/a', '', { signal: controller.signal });
  const second = tree.create('/given-up/b');
  setTimeout(() => {
    controller.abort(new Error('enough'));
    network.cut();
  });
  await t.rejects(first, { message: 'enough' });
  t.ok(await second);
});

t.test('a token is sent with each request and each socket', async (t) => {
  const asked: string[] = [];
  const weir = startClient(t, server.url, {
    token: async () => {
      asked.push('token');
      return 'weir_token';
    },
    fetch: (input, init) => {
      t.match(init?.headers, { authorization: 'Bearer weir_token' });
      return fetch(input, init);
    },
    webSocket: null,
  });
  await weir.tree.exists('/');
  t.same(asked, ['token']);
  const protocols: string[][] = [];
  const other = startClient(t, server.url, {
    token: 'weir_token',
    webSocket: async (url, offered) => {
      protocols.push(offered);
      return new (await import('ws')).WebSocket(url, offered) as never;
    },
  });
  await other.tree.exists('/');
  t.same(protocols, [['weir.v1', 'weir.bearer.weir_token']]);
});

t.test('any number of calls may share one signal, and none is left on it', async (t) => {
  const warnings: Error[] = [];
  const hear = (warning: Error) => warnings.push(warning);
  process.on('warning', hear);
  t.teardown(() => process.removeListener('warning', hear));
  for (const options of [{}, { webSocket: null }]) {
    const weir = startClient(t, server.url, options);
    const controller = new AbortController();
    const { signal } = controller;
    const each = Array.from({ length: 20 });
    await Promise.all(each.map(() => weir.tree.exists('/', { signal })));
    await Promise.all(each.map(() => weir.request({ path: '/v1/brokers', signal })));
    const watches = each.map(() => weir.watch('/', { signal }));
    await Promise.all(watches.map(({ started }) => started));
    const waits = each.map(() => weir.tree.waitFor('/never', { until: 'exists', signal }));
    const tails = each.map(() => weir.tail('none', { signal }));
    const clients = each.map(() => startClient(t, server.url, { signal }));
    const settled = Promise.allSettled([...waits, ...tails.map((tail) => tail.next())]);
    controller.abort(new Error('over'));
    t.same(
      [...new Set((await settled).slice(0, 20).map((result) => 'reason' in result && result.reason.message))],
      ['over'],
    );
    for (const watch of watches) t.match(await watch.next(), { done: true });
    for (const client of clients) t.throws(() => client.tree, { code: 'CLOSED' });
    await weir.close();
  }
  // Node.js emits warnings in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  t.same(
    warnings.map(({ message }) => message),
    [],
  );
});

/** Opens WebSockets, the first of which breaks with the first frame from the server. @param onLost is called with the frame before */
function losingFirstFrame(onLost: (frame: string) => Promise<void> = async () => {}) {
  let isLost = false;
  return (url: string, protocols: string[]): WebSocketLike => {
    const socket = new WebSocket(url, protocols);
    const like: WebSocketLike = {
      onopen: null,
      onmessage: null,
      onclose: null,
      onerror: null,
      send: (text) => socket.send(text),
      close: () => socket.close(),
    };
    socket.on('open', () => like.onopen?.({} as never)).on('error', () => undefined);
    socket.on('close', (code, reason) => like.onclose?.({ code, reason: String(reason) } as never));
    socket.on('message', (frame) => {
      if (isLost) like.onmessage?.({ data: String(frame) } as never);
      else void onLost(String(frame)).then(() => socket.terminate());
      isLost = true;
    });
    return like;
  };
}
