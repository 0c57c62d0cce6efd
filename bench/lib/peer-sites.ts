// The other systems that run beside ours: their addresses come from the environment, and what is not named there is skipped.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { cpuUsOf } from './processes.ts';

const variables = {
  ZooKeeper: 'WEIR_BENCH_ZOOKEEPER',
  etcd: 'WEIR_BENCH_ETCD',
  NATS: 'WEIR_BENCH_NATS',
  Kafka: 'WEIR_BENCH_KAFKA',
} as const;

export type PeerName = keyof typeof variables;

/** The address of a peer; undefined if the environment has none, after saying so. */
export function peerAddress(name: PeerName): string | undefined {
  const address = process.env[variables[name]];
  if (address === undefined) console.log(`${name} is skipped: ${variables[name]} names no address.\n`);
  else if (!/^[^:]+:\d+$/.test(address)) throw new Error(`${variables[name]} is ${address}; it must be host:port`);
  return address;
}

/** CPU time so far of the process that listens at an address of this machine, µs; undefined if it cannot be found. */
export function peerCpu(address: string): () => number | undefined {
  const pid = pidListeningAt(Number(address.split(':')[1]));
  return () => (pid === undefined ? undefined : cpuUsOf(pid));
}

function pidListeningAt(port: number): number | undefined {
  try {
    const inode = listeningInode(port);
    return inode === undefined ? undefined : pidWithSocket(inode);
  } catch {
    return undefined;
  }
}

function listeningInode(port: number): string | undefined {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(table, 'utf8').split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === '0A' && local.endsWith(`:${hexPort}`)) return inode;
    }
  }
  return undefined;
}

function pidWithSocket(inode: string): number | undefined {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const files = readdirSync(`/proc/${pid}/fd`);
      if (files.some((file) => linkOf(`/proc/${pid}/fd/${file}`) === `socket:[${inode}]`)) return Number(pid);
    } catch {
      // A process of another user, or one that has ended.
    }
  }
  return undefined;
}

function linkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}
