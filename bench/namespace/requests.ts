// Measures the rate of requests on the tree, compared with a bare Fastify route that returns a constant and with a Redis client
// that calls the same script. All three take turns in short rounds, so that other work on the machine affects all of them.
import { createHistogram } from 'node:perf_hooks';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import { median, percent, shown, table } from '../lib/measure.ts';
import type { ServerProcess, WeirServer } from '../lib/processes.ts';
import { callWith, RedisLoad, type ScriptCall, scriptCallOf } from '../lib/redis-load.ts';
import { type WatchedRound, watchedRound } from '../lib/rounds.ts';
import { nodeData, type Scale } from '../lib/workload.ts';

const childrenCount = 100;
const multiSize = 10;
const warmUpRounds = 2;
const profileMs = 2000;

interface Operation {
  name: string;
  appendfsync: 'always' | 'everysec';
  request: () => Buffer;
  call: () => ScriptCall;
}

/** The results of all rounds of one operation. */
interface Sums {
  perSecond: number[];
  ofBare: number[];
  ofRedis: number[];
  redisPerSecond: number[];
  latencyUs: ReturnType<typeof createHistogram>;
  requests: number;
  serverUs: number;
  redisUs: number;
}

const newSums = (): Sums => ({
  perSecond: [],
  ofBare: [],
  ofRedis: [],
  redisPerSecond: [],
  latencyUs: createHistogram(),
  requests: 0,
  serverUs: 0,
  redisUs: 0,
});

/** @returns Markdown tables, one for each number of connections */
export async function measureRequests(server: WeirServer, bare: ServerProcess, scale: Scale): Promise<string[]> {
  const redis = await RedisLoad.open(server.socketPath);
  try {
    const operations = await prepare(server);
    const atOnce = await measureAt(64, operations, { server, bare, redis, scale });
    // With one connection mostly waits are measured, so a few operations are enough.
    const few = operations.filter(({ name }) => /^(get|set|create)$/.test(name));
    const oneByOne = await measureAt(1, few, { server, bare, redis, scale });
    return [atOnce, oneByOne];
  } finally {
    redis.close();
  }
}

async function prepare(server: WeirServer): Promise<Operation[]> {
  const load = await HttpLoad.open(server.url, 1);
  const put = (path: string) => load.send(requestBytes('PUT', `/v1/nodes/bench/${path}?parents=true`, nodeData));
  for (const path of ['get', 'set', 'create']) await put(path);
  for (let i = 0; i < childrenCount; i++) await put(`children/child-${i}`);
  for (let i = 0; i < multiSize; i++) await put(`multi/${i}`);
  load.close();

  const get = requestBytes('GET', '/v1/nodes/bench/get');
  const set = requestBytes('PUT', '/v1/nodes/bench/set', nodeData);
  const children = requestBytes('GET', '/v1/nodes/bench/children?view=children');
  const ops = Array.from({ length: multiSize }, (_, i) => ({
    op: 'set' as const,
    path: `/bench/multi/${i}`,
    data: nodeData,
  }));
  const multi = requestBytes('POST', '/v1/multi', JSON.stringify({ ops }), { 'content-type': 'application/json' });
  const getCall = await scriptCallOf((tree) => tree.get('/bench/get'));
  const childrenCall = await scriptCallOf((tree) => tree.children('/bench/children', { limit: 1000 }));
  const setCall = await scriptCallOf((tree) => tree.write([{ op: 'put', path: '/bench/set', data: nodeData }]));
  const multiCall = await scriptCallOf((tree) => tree.write(ops));
  let created = 0;
  const setting = { request: () => set, call: () => setCall };
  const creating = {
    request: () => requestBytes('PUT', `/v1/nodes/bench/create/over-http-${++created}`, nodeData),
    call: () => callWith(setCall, { op: 'put', path: `/bench/create/straight-${++created}`, data: nodeData }),
  };
  const appendfsync = 'always';
  return [
    { name: 'get', appendfsync, request: () => get, call: () => getCall },
    { name: `children (${childrenCount})`, appendfsync, request: () => children, call: () => childrenCall },
    { name: 'set', appendfsync, ...setting },
    { name: 'create', appendfsync, ...creating },
    { name: `multi of ${multiSize} sets`, appendfsync, request: () => multi, call: () => multiCall },
    { name: 'set, everysec', appendfsync: 'everysec', ...setting },
    { name: 'create, everysec', appendfsync: 'everysec', ...creating },
  ];
}

async function measureAt(
  connections: number,
  operations: Operation[],
  against: { server: WeirServer; bare: ServerProcess; redis: RedisLoad; scale: Scale },
): Promise<string> {
  const { server, bare, redis, scale } = against;
  const { rounds, roundMs } = scale;
  const load = await HttpLoad.open(server.url, connections);
  const bareLoad = await HttpLoad.open(bare.url, connections);
  const constant = requestBytes('GET', '/constant');
  const ofBare = newSums();
  const sums = new Map(operations.map(({ name }) => [name, newSums()]));
  const bareRound = async (into = ofBare) =>
    add(into, await watchedRound(() => bareLoad.run(() => constant, roundMs), bare)).perSecond;
  const round = async (operation: Operation, into: Sums) => {
    await redis.client.config('SET', 'appendfsync', operation.appendfsync);
    const measured = await watchedRound(() => load.run(operation.request, roundMs), server);
    const straight = await redis.run(operation.call, connections, roundMs);
    into.redisPerSecond.push(straight.perSecond);
    into.ofRedis.push(measured.perSecond / straight.perSecond);
    return add(into, measured).perSecond;
  };

  for (const operation of operations) {
    for (let i = 0; i < warmUpRounds; i++) await round(operation, newSums());
    if (scale.profiles === undefined) continue;
    const file = `${scale.profiles}/${operation.name.replaceAll(/\W+/g, '-')}-${connections}.cpuprofile`;
    await server.profiled(file, () => load.run(operation.request, profileMs));
  }
  await bareRound(newSums());
  for (let i = 0; i < rounds; i++) {
    let before = await bareRound();
    for (const operation of operations) {
      const into = sums.get(operation.name)!;
      const perSecond = await round(operation, into);
      const after = await bareRound();
      into.ofBare.push(perSecond / ((before + after) / 2));
      before = after;
    }
  }
  await redis.client.config('SET', 'appendfsync', 'always');
  load.close();
  bareLoad.close();

  const rows = [...sums].map(([name, sum]) => [
    name,
    ...common(sum),
    percent(median(sum.ofBare)),
    shown(median(sum.redisPerSecond)),
    percent(median(sum.ofRedis)),
  ]);
  rows.unshift(['bare Fastify route', ...common(ofBare), '', '', '']);
  const head = [
    '',
    'requests/s',
    'p50 ms',
    'p99 ms',
    'server µs',
    'Redis µs',
    'of bare route',
    'Redis client, calls/s',
  ];
  const title = connections === 1 ? 'Requests, 1 connection' : `Requests, ${connections} connections`;
  return table(title, [...head, 'of Redis client'], rows);
}

function add(sums: Sums, round: WatchedRound): WatchedRound {
  sums.perSecond.push(round.perSecond);
  sums.latencyUs.add(round.latencyUs);
  sums.requests += round.requests;
  sums.serverUs += round.serverUs;
  sums.redisUs += round.redisUs;
  return round;
}

function common(sums: Sums): string[] {
  const { perSecond, latencyUs, requests, serverUs, redisUs } = sums;
  const ms = (us: number) => shown(us / 1000);
  const perRequest = (us: number) => (us === 0 ? '' : shown(us / requests));
  return [
    shown(median(perSecond)),
    ms(latencyUs.percentile(50)),
    ms(latencyUs.percentile(99)),
    perRequest(serverUs),
    perRequest(redisUs),
  ];
}
