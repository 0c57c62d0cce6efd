// What one create, set and get costs, beside ZooKeeper, etcd and NATS' key-value store: 64 requests in flight, data of 100 bytes. Here
// over HTTP; there over each system's own protocol.
import { closedLoop, inTurns, type Send } from '../lib/closed-loop.ts';
import { EtcdClient } from '../lib/etcd-client.ts';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import { table } from '../lib/measure.ts';
import { NatsClient, type NatsMessage } from '../lib/nats-client.ts';
import { comparedRow, type PairScale, pairHead, type Side, side } from '../lib/pairs.ts';
import { peerAddress, peerCpu } from '../lib/peer-sites.ts';
import type { WeirServer } from '../lib/processes.ts';
import { nodeData } from '../lib/workload.ts';
import { ZooKeeperClient } from '../lib/zookeeper-client.ts';

const inFlight = 64;
const keysCount = 1000;
const data = Buffer.from(nodeData);
/** Runs do not meet each other's nodes. */
const run = Date.now().toString(36);

const operations = ['create', 'set', 'get'] as const;
type Operation = (typeof operations)[number];

interface Peer {
  title: string;
  sides: Record<Operation, Side>;
  close(): void;
}

/** @returns Markdown tables, one for each peer that runs */
export async function measureNodes(server: WeirServer, scale: PairScale): Promise<string[]> {
  const openers = [openZooKeeper, openEtcd, openNats];
  const load = await HttpLoad.open(server.url, inFlight);
  const ours = await ownSides(server, load);
  const tables: string[] = [];
  for (const open of openers) {
    const peer = await open();
    if (!peer) continue;
    const rows: string[][] = [];
    for (const name of operations) rows.push(await comparedRow(name, ours[name], peer.sides[name], scale));
    tables.push(table(`Nodes, ${inFlight} in flight, HTTP here: beside ${peer.title}`, pairHead, rows));
    peer.close();
  }
  load.close();
  return tables;
}

async function ownSides(server: WeirServer, load: HttpLoad): Promise<Record<Operation, Side>> {
  const put = (path: string) => requestBytes('PUT', `/v1/nodes/bench/${path}?parents=true`, nodeData);
  for (let n = 0; n < keysCount; n++) await load.send(put(`k-${n}`));
  let [created, key] = [0, 0];
  const create = () => requestBytes('PUT', `/v1/nodes/bench/n-${run}-${++created}`, nodeData, { 'if-none-match': '*' });
  const set = () => requestBytes('PUT', `/v1/nodes/bench/k-${key++ % keysCount}`, nodeData);
  const get = () => requestBytes('GET', `/v1/nodes/bench/k-${key++ % keysCount}`);
  const cpuUs = () => (server.cpuUs ?? Number.NaN) + (server.redisCpuUs ?? Number.NaN);
  const sideOf = (next: () => Buffer) => side((ms) => load.run(next, ms), cpuUs);
  return { create: sideOf(create), set: sideOf(set), get: sideOf(get) };
}

/** The three sides of a peer, whose operations take a name and call back. */
function sidesOf(
  address: string,
  of: Record<Operation, (name: string, done: Parameters<Send>[0]) => void>,
): Record<Operation, Side> {
  const cpuUs = peerCpu(address);
  let [created, key] = [0, 0];
  const nameOf = {
    create: () => `n-${run}-${++created}`,
    set: () => `k-${key++ % keysCount}`,
    get: () => `k-${key++ % keysCount}`,
  };
  const sideOf = (name: Operation) =>
    side((ms) => closedLoop((done) => of[name](nameOf[name](), done), inFlight, ms), cpuUs);
  return { create: sideOf('create'), set: sideOf('set'), get: sideOf('get') };
}

/** As many connections as over HTTP, each with one request in flight: ZooKeeper works at those of one connection in order. */
async function openZooKeeper(): Promise<Peer | undefined> {
  const address = peerAddress('ZooKeeper');
  if (address === undefined) return undefined;
  const clients = await Promise.all(Array.from({ length: inFlight }, () => ZooKeeperClient.open(address)));
  const first = clients[0]!;
  await first.ensure('/bench', Buffer.alloc(0));
  for (let n = 0; n < keysCount; n++) await first.ensure(`/bench/k-${n}`, data);
  const on = (call: (client: ZooKeeperClient) => (name: string, done: Parameters<Send>[0]) => void) =>
    inTurns(clients.map(call));
  return {
    title: 'ZooKeeper',
    sides: sidesOf(address, {
      create: on((client) => (name, done) => client.create(`/bench/${name}`, data, done)),
      set: on((client) => (name, done) => client.set(`/bench/${name}`, data, done)),
      get: on((client) => (name, done) => client.get(`/bench/${name}`, done)),
    }),
    close: () => {
      for (const client of clients) client.close();
    },
  };
}

async function openEtcd(): Promise<Peer | undefined> {
  const address = peerAddress('etcd');
  if (address === undefined) return undefined;
  const { etcdserver } = (await (await fetch(`http://${address}/version`)).json()) as { etcdserver: string };
  const clients = await Promise.all(Array.from({ length: 4 }, () => EtcdClient.open(address)));
  for (let n = 0; n < keysCount; n++) {
    await new Promise<void>((resolve, reject) => {
      clients[0]!.put(`/bench/k-${n}`, data, (error) => (error ? reject(error) : resolve()));
    });
  }
  const on = (call: (client: EtcdClient) => (name: string, done: Parameters<Send>[0]) => void) =>
    inTurns(clients.map(call));
  return {
    title: `etcd ${etcdserver}, gRPC, 4 connections`,
    sides: sidesOf(address, {
      create: on((client) => (name, done) => client.create(`/bench/${name}`, data, done)),
      set: on((client) => (name, done) => client.put(`/bench/${name}`, data, done)),
      get: on((client) => (name, done) => client.get(`/bench/${name}`, done)),
    }),
    close: () => {
      for (const client of clients) client.close();
    },
  };
}

async function openNats(): Promise<Peer | undefined> {
  const address = peerAddress('NATS');
  if (address === undefined) return undefined;
  const client = await NatsClient.open(address);
  const stream = { subjects: ['$KV.bench.>'], max_msgs_per_subject: 1, allow_direct: true, storage: 'file' };
  const named = { name: 'KV_bench', discard: 'new', deny_delete: true, allow_rollup_hdrs: true, ...stream };
  await client.api('STREAM.CREATE.KV_bench', named);
  const accepted = (done: Parameters<Send>[0]) => (message: NatsMessage) =>
    done(/"error"/.test(message.data.toString()) ? new Error(`NATS refused: ${message.data}`) : undefined);
  const found = (done: Parameters<Send>[0]) => (message: NatsMessage) =>
    done(/^NATS\/1\.0 [45]/.test(message.headers) ? new Error(`NATS has no such key: ${message.headers}`) : undefined);
  const isNew = 'Nats-Expected-Last-Subject-Sequence: 0\r\n';
  const none = Buffer.alloc(0);
  for (let n = 0; n < keysCount; n++) {
    await new Promise<void>((resolve) => client.request(`$KV.bench.k-${n}`, data, () => resolve()));
  }
  return {
    title: `NATS ${client.info.version}, key-value store, 1 connection`,
    sides: sidesOf(address, {
      create: (name, done) => client.request(`$KV.bench.${name}`, data, accepted(done), isNew),
      set: (name, done) => client.request(`$KV.bench.${name}`, data, accepted(done)),
      get: (name, done) => client.request(`$JS.API.DIRECT.GET.KV_bench.$KV.bench.${name}`, none, found(done)),
    }),
    close: () => client.close(),
  };
}
