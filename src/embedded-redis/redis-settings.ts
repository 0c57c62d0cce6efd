/**
 * How the private Redis is set up, and why so. When it is started, and whether a running one is brought to these
 * settings, is the business of embedded-redis.ts.
 */
import { totalmem } from 'node:os';

export interface RedisSettings {
  socketPath: string;
  dataDir: string;
  appendfsync: 'always' | 'everysec' | 'no';
  /** Default: half of what this machine, or this container, has. */
  maxmemoryBytes?: number;
  /** A TCP port on the loopback as well. Default: none. */
  port?: number;
}

/** Every setting that differs from Redis' default or must not be left to it, by its name in redis.conf. */
export function redisSettings(options: RedisSettings): Map<string, string> {
  const maxmemoryBytes = options.maxmemoryBytes ?? Math.floor(availableMemoryBytes() / 2);
  return new Map([
    // Nobody but this user's processes reaches it; a port is opened only on request, and on the loopback.
    ['unixsocket', options.socketPath],
    ['unixsocketperm', '700'],
    ['port', String(options.port ?? 0)],
    ['bind', '127.0.0.1'],
    ['dir', options.dataDir],
    // The AOF alone holds the data: an RDB snapshot beside it would cost a fork and be read by nobody.
    ['save', ''],
    ['appendonly', 'yes'],
    ['appendfsync', options.appendfsync],
    // A rewrite of the AOF must not suspend the syncing that acknowledged records rely on.
    ['no-appendfsync-on-rewrite', 'no'],
    // Rewritten parts load several times faster in RDB's form.
    ['aof-use-rdb-preamble', 'yes'],
    // A crash may cut off the last command, which nobody was told of; all before it is to be served again.
    ['aof-load-truncated', 'yes'],
    ['maxmemory', String(maxmemoryBytes)],
    // A full store refuses writes. Any other policy would drop records and nodes in silence.
    ['maxmemory-policy', 'noeviction'],
    // What waits for a client counts as memory, too: one that reads nothing must not make the store full for all. A broker that asks
    // for much at once has far less waiting: all of the history of transactions is 64 MiB. The classes but `normal` are Redis' own.
    [
      'client-output-buffer-limit',
      `normal ${outputBytesMax(maxmemoryBytes)} 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`,
    ],
    // Others hear BUSY while a script runs for so long: sooner than the time-out of the service's own commands.
    ['busy-reply-threshold', '1000'],
    // A node with little data lies in one piece: half of the memory, and half of the time to make one.
    ['hash-max-listpack-value', '1024'],
    // Deleting a topic or trimming a log must not make everybody wait until all its memory is given back.
    ['lazyfree-lazy-user-del', 'yes'],
    ['lazyfree-lazy-server-del', 'yes'],
    ['lazyfree-lazy-expire', 'yes'],
  ]);
}

/** How much may wait for one client before it is cut off: an eighth of the memory, and never less than the largest honest replies. */
function outputBytesMax(maxmemoryBytes: number): number {
  return Math.max(256 * 1024 * 1024, Math.floor(maxmemoryBytes / 8));
}

function availableMemoryBytes(): number {
  const limit = process.constrainedMemory(); // of the container; 0 or more than there is if none is set
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
