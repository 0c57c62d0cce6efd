// Measures pipelined requests on /v1/socket beside HTTP, and beside ZooKeeper, etcd and NATS if they run: `npm run bench:socket [-- --quick]
// [-- --only=set,get] [-- --sync=always]`. `--sync` says how records are synced; a shape is a number of sockets times the requests in
// flight on each. README.md explains the tables.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { closedLoops, type Send } from './lib/closed-loop.ts';
import { EtcdClient } from './lib/etcd-client.ts';
import { HttpLoad, requestBytes } from './lib/http-load.ts';
import { LogSite } from './lib/log-site.ts';
import { table } from './lib/measure.ts';
import { NatsClient } from './lib/nats-client.ts';
import { comparedRow, pairHead, type RecordScale, recordSync, type Side, side, warmUp } from './lib/pairs.ts';
import { peerAddress, peerCpu } from './lib/peer-sites.ts';
import { SocketClient } from './lib/socket-client.ts';
import { nodeData } from './lib/workload.ts';
import { ZooKeeperClient } from './lib/zookeeper-client.ts';

const shapes: readonly (readonly [sockets: number, inFlight: number])[] = [
  [16, 16],
  [1, 64],
  [16, 4],
  [64, 1],
  [1, 1],
];
const keysCount = 1000;
/** Both sides compile what they run often: the first requests cost several times what later ones do. */
const warmUpRequests = 20_000;
const topic = 'bench-socket';
const data = Buffer.from(nodeData);
const json = { 'content-type': 'application/json' };
/** Runs on one ZooKeeper do not meet each other's nodes. */
const run = Date.now().toString(36);

const operations = ['create', 'set', 'get', 'get local', 'produce'] as const;
type Operation = (typeof operations)[number];

let names = 0;
const newPath = () => `/bench/n-${run}-${++names}`;
const knownPath = () => `/bench/k-${names++ % keysCount}`;

const ofSocket: Record<Operation, (client: SocketClient, done: Parameters<Send>[0]) => void> = {
  create: (client, done) => client.send({ op: 'create', path: newPath(), data: nodeData }, true, done),
  set: (client, done) => client.send({ op: 'set', path: knownPath(), data: nodeData }, true, done),
  get: (client, done) => client.send({ op: 'get', path: knownPath() }, false, done),
  'get local': (client, done) => client.send({ op: 'get', path: knownPath(), read: 'local' }, false, done),
  produce: (client, done) => client.send({ op: 'produce', topic, records: [{ value: nodeData }] }, false, done),
};

const produceBody = JSON.stringify({ records: [{ value: nodeData }] });
const ofHttp: Record<Operation, () => Buffer> = {
  create: () => requestBytes('PUT', `/v1/nodes${newPath()}`, nodeData, { 'if-none-match': '*' }),
  set: () => requestBytes('PUT', `/v1/nodes${knownPath()}`, nodeData),
  get: () => requestBytes('GET', `/v1/nodes${knownPath()}`),
  'get local': () => requestBytes('GET', `/v1/nodes${knownPath()}?read=local`),
  produce: () => requestBytes('POST', `/v1/topics/${topic}/records`, produceBody, json),
};

/** A peer's side for an operation in a shape; undefined if the peer has no such operation. */
type PeerSide = (operation: Operation, sockets: number, inFlight: number) => Promise<Side | undefined>;

/** How one client sends a request of each operation that its system has. */
type Calls<Client> = Partial<Record<Operation, (client: Client, done: Parameters<Send>[0]) => void>>;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      sync: { type: 'string', default: 'everysec' },
    },
  });
  const sync = recordSync(values.sync);
  const asked =
    values.only === undefined ? operations : operations.filter((name) => values.only!.split(',').includes(name));
  if (asked.length === 0) throw new Error(`--only takes some of ${operations.join(',')}`);
  const scale = values.quick
    ? { rounds: 3, roundMs: 500, warmUpMsMax: 2000 }
    : { rounds: 7, roundMs: 2000, warmUpMsMax: 10_000 };
  const site = await LogSite.open({ ...scale, quick: values.quick, profiles: undefined });
  try {
    const { server } = site;
    console.log(
      `Node ${process.versions.node}, Redis ${server.redisVersion}, ${availableParallelism()} cores for all; nodes with ` +
        `appendfsync always, records with ${sync}; ${scale.rounds} pairs of rounds of ${scale.roundMs} ms each\n`,
    );
    await prepare(site);
    const own = await supported(server.url, asked);
    console.log(await besides('HTTP, 64 connections', site, own, await httpSide(site), { ...scale, sync }));
    for (const open of [zooKeeperSide, etcdSide, natsSide]) {
      const peer = await open();
      if (peer) console.log(await besides(peer.title, site, own, peer.side, { ...scale, sync }));
    }
  } finally {
    await site.close();
  }
}

async function prepare(site: LogSite): Promise<void> {
  await site.createTopic(topic, 8);
  const load = await HttpLoad.open(site.server.url, 1);
  for (let n = 0; n < keysCount; n++) {
    await load.send(requestBytes('PUT', `/v1/nodes/bench/k-${n}?parents=true`, nodeData));
  }
  load.close();
}

/** The operations that this server carries out; says which it refuses. */
async function supported(url: string, asked: readonly Operation[]): Promise<Operation[]> {
  const client = await SocketClient.open(url);
  const known: Operation[] = [];
  for (const operation of asked) {
    const error = await new Promise<Error | undefined>((resolve) => ofSocket[operation](client, resolve));
    if (error) console.log(`${operation} is skipped, as the server refuses it: ${error.message}\n`);
    else known.push(operation);
  }
  client.close();
  return known;
}

async function besides(
  title: string,
  site: LogSite,
  asked: readonly Operation[],
  peerSide: PeerSide,
  scale: RecordScale & { warmUpMsMax: number },
): Promise<string> {
  const rows: string[][] = [];
  for (const operation of asked) {
    await site.sync(operation === 'produce' ? scale.sync : 'always');
    for (const [index, [sockets, inFlight]] of shapes.entries()) {
      const peer = await peerSide(operation, sockets, inFlight);
      if (!peer) continue;
      const clients = await Promise.all(Array.from({ length: sockets }, () => SocketClient.open(site.server.url)));
      const sends = clients.map(
        (client): Send =>
          (done) =>
            ofSocket[operation](client, done),
      );
      const own = side((ms) => closedLoops(sends, inFlight, ms), site.cpuUs);
      if (index === 0) for (const each of [own, peer]) await warmUp(each, warmUpRequests, scale.warmUpMsMax);
      rows.push(await comparedRow(`${operation}, ${sockets} × ${inFlight}`, own, peer, scale));
      for (const client of clients) client.close();
    }
  }
  return table(`Requests on sockets, sockets × in flight: beside ${title}`, pairHead, rows);
}

/** HTTP has no pipelining here: the same 64 connections stand beside all shapes. */
async function httpSide(site: LogSite): Promise<PeerSide> {
  const load = await HttpLoad.open(site.server.url, 64);
  return async (operation) => side((ms) => load.run(ofHttp[operation], ms), site.cpuUs);
}

async function zooKeeperSide(): Promise<{ title: string; side: PeerSide } | undefined> {
  const address = peerAddress('ZooKeeper');
  if (address === undefined) return undefined;
  const clients = await openAll(() => ZooKeeperClient.open(address));
  await clients[0]!.ensure('/bench', Buffer.alloc(0));
  for (let n = 0; n < keysCount; n++) await clients[0]!.ensure(`/bench/k-${n}`, data);
  const get = (client: ZooKeeperClient, done: Parameters<Send>[0]) => client.get(knownPath(), done);
  const calls: Calls<ZooKeeperClient> = {
    create: (client, done) => client.create(newPath(), data, done),
    set: (client, done) => client.set(knownPath(), data, done),
    get,
    'get local': get,
  };
  return { title: 'ZooKeeper, the same shapes', side: sideOf(address, clients, calls) };
}

async function etcdSide(): Promise<{ title: string; side: PeerSide } | undefined> {
  const address = peerAddress('etcd');
  if (address === undefined) return undefined;
  const clients = await openAll(() => EtcdClient.open(address));
  for (let n = 0; n < keysCount; n++) {
    await new Promise<void>((resolve, reject) =>
      clients[0]!.put(knownPath(), data, (error) => (error ? reject(error) : resolve())),
    );
  }
  const calls: Calls<EtcdClient> = {
    create: (client, done) => client.create(newPath(), data, done),
    set: (client, done) => client.put(knownPath(), data, done),
    get: (client, done) => client.get(knownPath(), done),
  };
  return { title: 'etcd, gRPC, the same shapes', side: sideOf(address, clients, calls) };
}

async function natsSide(): Promise<{ title: string; side: PeerSide } | undefined> {
  const address = peerAddress('NATS');
  if (address === undefined) return undefined;
  const clients = await openAll(() => NatsClient.open(address));
  const [stream, subject] = [`SOCKET_${run}`, `socket.${run}`];
  const bounds = { max_bytes: 1 << 30, discard: 'old', storage: 'file' };
  await clients[0]!.api(`STREAM.CREATE.${stream}`, { name: stream, subjects: [subject], ...bounds });
  const calls: Calls<NatsClient> = { produce: (client, done) => client.request(subject, data, () => done()) };
  const title = `NATS ${clients[0]!.info.version} JetStream, the same shapes`;
  return { title, side: sideOf(address, clients, calls) };
}

/** As many clients as the largest shape has sockets. */
function openAll<Client>(open: () => Promise<Client>): Promise<Client[]> {
  return Promise.all(Array.from({ length: Math.max(...shapes.map(([sockets]) => sockets)) }, open));
}

/** The side of a peer, of whose clients each has a connection. */
function sideOf<Client>(address: string, clients: readonly Client[], calls: Calls<Client>): PeerSide {
  const cpuUs = peerCpu(address);
  return async (operation, sockets, inFlight) => {
    const call = calls[operation];
    if (!call) return undefined;
    const sends = clients.slice(0, sockets).map(
      (client): Send =>
        (done) =>
          call(client, done),
    );
    return side((ms) => closedLoops(sends, inFlight, ms), cpuUs);
  };
}

await main();
process.exit(0);
