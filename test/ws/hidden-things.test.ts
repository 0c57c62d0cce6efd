// Two hostile clients, one with few rights and one with no token, send every kind of frame, and watch all that they may while hidden things
// change. Whatever they receive has nothing of these things. Requests over HTTP are in test/http/hidden-things.test.ts.
import t, { type Test } from 'tap';
import { groupClientFrame } from '../../schemas/group-stream.ts';
import type { requestSchemas } from '../../schemas/socket.ts';
import { topicTailClientFrame } from '../../schemas/topic-tail.ts';
import { clientFrame } from '../../schemas/watch.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { absent, guessed, hasNoMark, startHostileWorld } from '../helpers/hostile-world.ts';
import { openPipeline } from '../helpers/pipeline.ts';
import { eventually } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const world = await startHostileWorld(t);
const { server, policy } = world;
const lowly = policy.as('lowly');

/** Nodes that the client may see, and below which something is hidden from it. */
const openers = ['/', '/mine', '/brokers', '/brokers/ids', '/brokers/topics', '/config/topics', '/consumers', '/admin'];
const modes = ['node', 'children', 'recursive'] as const;

/** For each request of /v1/socket what a hostile client asks for. */
const requests: Record<keyof typeof requestSchemas, Record<string, unknown>[]> = {
  session: [{ attach: `${world.sessionId}.${'A'.repeat(22)}` }, { ttl: '1h' }],
  create: [
    { path: `/${guessed}` },
    { path: `/${guessed}/x`, parents: true },
    { path: `/mine/../${guessed}` },
    { path: `/${guessed}/`, sequential: true },
    { path: `/consumers/${guessed}` },
  ],
  set: [
    { path: `/${guessed}`, data: '' },
    { path: `/brokers/topics/${guessed}`, data: '', version: 7 },
  ],
  delete: [{ path: `/${guessed}` }, { path: '/', recursive: true }, { path: `/consumers/${guessed}`, recursive: true }],
  get: [{ path: `/${guessed}` }, { path: `/${guessed}`, read: 'local' }, { path: `/config/topics/${guessed}` }],
  exists: [{ path: `/${guessed}` }, { path: `/${guessed}`, read: 'local' }, { path: `/consumers/${guessed}` }],
  children: [
    { path: `/${guessed}` },
    ...openers.flatMap((path) => [
      { path, limit: 1 },
      { path, stats: true },
      { path, read: 'local' },
    ]),
  ],
  multi: [
    { ops: [{ op: 'check', path: `/${guessed}`, exists: false }] },
    {
      ops: [
        { op: 'create', path: '/mine/x' },
        { op: 'delete', path: `/${guessed}` },
      ],
    },
  ],
  watch: [
    { path: `/${guessed}` },
    ...openers.flatMap((path) => modes.map((mode) => ({ path, mode, since: 0, data: true }))),
    ...openers.flatMap((path) => modes.map((mode) => ({ path, mode, data: true }))),
  ],
  unwatch: [{ watch: 'none' }],
  produce: [
    { topic: guessed, records: [{ value: 1 }] },
    { topic: 'mine.t', records: [{ value: 1 }], fence: `/${guessed}@1` },
    { topic: 'mine.t', records: [{ value: 1 }], producer: { id: '1', epoch: 0, sequence: 0 } },
  ],
  fetch: [{ topic: guessed, partition: 0 }],
  offsets: [{ topic: guessed, at: 'earliest' }],
  commit: [
    { group: guessed, offsets: [{ topic: 'mine.t', partition: 0, offset: 0 }] },
    { group: 'mine.g', offsets: [{ topic: guessed, partition: 0, offset: 0 }] },
  ],
  ping: [{}],
};

const normal = (answer: unknown) =>
  JSON.stringify({ ...(answer as object), id: 0, zxid: 0 }).replace(/\d{6,}|[\w.-]{30,}/g, '#');

t.test(
  'every request of the pipelined socket shows nothing hidden, and the same for what does not exist',
  async (t) => {
    const before = await world.snapshot();
    const socket = await openPipeline(t, server.url, { headers: lowly });
    for (const [op, all] of Object.entries(requests)) {
      for (const request of all) {
        const text = JSON.stringify(request);
        const other = text.replaceAll(guessed, absent);
        const [answer, same] = await socket.askAll([
          { op, ...request },
          { op, ...JSON.parse(other) },
        ]);
        if (other !== text) t.equal(normal(same), normal(answer).replaceAll(guessed, absent), `${op} ${text}`);
      }
    }
    hasNoMark(t, JSON.stringify(socket.received), 'on /v1/socket');
    t.equal(await world.snapshot(), before, 'nothing has changed');
  },
);

t.test('whoever watches all that it may sees nothing of hidden things that change', async (t) => {
  const watch = await openSocket(t, `${server.url}/v1/watch`, lowly);
  const pipeline = await openPipeline(t, server.url, { headers: lowly });
  const member = await openSocket(t, `${server.url}/v1/groups/mine.g/stream?pattern=.*`, lowly);
  const tail = await openSocket(t, `${server.url}/v1/topics/mine.t/stream?offset=earliest`, lowly);
  const streams = [await openEventStream(t, `${server.url}/v1/topics/mine.t/stream?offset=earliest`, lowly)];
  await member.frame({ type: 'joined' });
  for (const socket of [member, tail]) socket.send({ type: 'credit', records: 1000 });
  for (const path of openers) {
    for (const mode of modes) {
      watch.send({ type: 'watch', id: `${path} ${mode}`, path, mode, data: true });
      await pipeline.ask({ op: 'watch', path, mode, data: true });
      const url = `${server.url}/v1/watch${path === '/' ? '/' : path}?mode=${mode}&data=true`;
      streams.push(await openEventStream(t, url, lowly));
    }
  }
  await watch.frame({ type: 'watching', id: `${openers.at(-1)} ${modes.at(-1)}` });
  await world.disturb();
  await world.lowly('PUT', '/v1/nodes/mine/last', 'seen');
  const isLast = (text: string) => text.includes('/mine/last');
  await eventually(() => isLast(JSON.stringify(watch.frames)), 'the last change on the watch socket');
  await eventually(() => isLast(JSON.stringify(pipeline.received)), 'the last change on the pipelined socket');
  await eventually(() => streams.some(({ messages }) => isLast(JSON.stringify(messages))), 'and on a stream');
  for (const socket of [member, tail]) socket.send({ type: 'ping' });
  for (const socket of [member, tail]) await socket.frame({ type: 'pong' });
  for (const [name, frames] of Object.entries({
    watch: watch.frames,
    pipeline: pipeline.received,
    member: member.frames,
    tail: tail.frames,
    streams: streams.map(({ messages }) => messages),
  })) {
    t.ok(JSON.stringify(frames).length > 50, `${name} has received something`);
    hasNoMark(t, JSON.stringify(frames), name);
  }
});

/** Frames of the other sockets, by the kind of socket: each kind of frame is sent. */
const frames: { path: string; types: string[]; sent: object[] }[] = [
  {
    path: '/v1/watch',
    types: typesOf(clientFrame),
    sent: [
      { type: 'watch', id: 'a', path: `/${guessed}`, mode: 'recursive', since: 0 },
      { type: 'unwatch', id: 'a' },
      { type: 'session', session: `${world.sessionId}.${'A'.repeat(22)}` },
      { type: 'ping' },
    ],
  },
  {
    path: '/v1/groups/mine.h/stream?topics=mine.t',
    types: typesOf(groupClientFrame),
    sent: [
      { type: 'credit', records: 1000 },
      { type: 'commit', id: 'c', offsets: [{ topic: guessed, partition: 0, offset: 0 }] },
      { type: 'released', partitions: [{ topic: guessed, partition: 0 }] },
      { type: 'ping' },
      { type: 'leave' },
    ],
  },
  {
    path: '/v1/topics/mine.t/stream?offset=earliest',
    types: typesOf(topicTailClientFrame),
    sent: [{ type: 'credit', records: 1000 }, { type: 'ping' }],
  },
];

/** The values of `type` in a union of frames. */
function typesOf({ options }: { options: readonly { shape: { type: { value: unknown } } }[] }): string[] {
  return options.map(({ shape }) => String(shape.type.value)).sort();
}

t.test(
  'every frame of every other socket shows nothing hidden, and none is for a client without a token',
  async (t) => {
    const before = await world.snapshot();
    for (const { path, types, sent } of frames) {
      t.same(sent.map((frame) => (frame as { type: string }).type).sort(), types, `each kind of frame of ${path}`);
      const socket = await openSocket(t, `${server.url}${path}`, lowly);
      for (const frame of sent) socket.send(frame);
      await eventually(() => socket.frames.length > 1, 'responses');
      socket.send({ type: 'ping' });
      await eventually(
        () => socket.ws.readyState !== socket.ws.OPEN || socket.frames.some(({ type }) => type === 'pong'),
        'all are answered',
      );
      hasNoMark(t, JSON.stringify(socket.frames), path);
      await refusesAnonymous(t, path, sent);
    }
    await refusesAnonymous(t, '/v1/socket', [{ id: 1, op: 'get', path: `/${guessed}` }]);
    t.equal(await world.snapshot(), before, 'nothing has changed');
  },
);

async function refusesAnonymous(t: Test, path: string, sent: readonly object[]): Promise<void> {
  const socket = await openSocket(t, `${server.url}${path}`);
  for (const frame of sent) socket.send(frame);
  t.equal(await socket.closed, 4401, path);
  t.match(socket.frames, [{ type: 'error', code: 'AUTH_REQUIRED' }]);
  t.equal(socket.frames.length, 1);
}
