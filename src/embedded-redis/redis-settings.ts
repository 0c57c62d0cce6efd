/** The settings of the private Redis, each with its reason. */
import { totalmem } from 'node:os';

interface RedisSettings {
  socketPath: string;
  dataDir: string;
  appendfsync: 'always' | 'everysec' | 'no';
  /** Memory limit. Default: half of the memory of the machine or container. */
  maxmemoryBytes?: number;
  /** An additional TCP port on the loopback address. Default: none. */
  port?: number;
}

/** Settings by their names in redis.conf: those that differ from Redis' defaults, or that must not depend on them. */
export function redisSettings(options: RedisSettings): Map<string, string> {
  const maxmemoryBytes = options.maxmemoryBytes ?? Math.floor(availableMemoryBytes() / 2);
  return new Map([
    // Only processes of this user can connect. A port is opened only on request, and on the loopback address.
    ['unixsocket', options.socketPath],
    ['unixsocketperm', '700'],
    ['port', String(options.port ?? 0)],
    ['bind', '127.0.0.1'],
    ['dir', options.dataDir],
    // The AOF holds the data. An RDB snapshot would cost a fork and never be read.
    ['save', ''],
    ['appendonly', 'yes'],
    ['appendfsync', options.appendfsync],
    // Acknowledged records depend on syncing, so a rewrite of the AOF must not suspend it.
    ['no-appendfsync-on-rewrite', 'no'],
    // Rewritten parts load several times faster in RDB format.
    ['aof-use-rdb-preamble', 'yes'],
    // A crash may cut off the last command, which was not acknowledged. Everything before it must load.
    ['aof-load-truncated', 'yes'],
    ['maxmemory', String(maxmemoryBytes)],
    // A full store refuses writes. Any other policy would silently delete records and nodes.
    ['maxmemory-policy', 'noeviction'],
    // Output buffers count as memory, so a client that reads nothing must not fill the store. A broker needs far less: the whole
    // history of transactions is 64 MiB. The limits of `slave` and `pubsub` are Redis' defaults.
    [
      'client-output-buffer-limit',
      `normal ${outputBytesMax(maxmemoryBytes)} 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`,
    ],
    // After this time, ms, other clients get BUSY while a script runs. It is shorter than the timeout of the server's commands.
    ['busy-reply-threshold', '1000'],
    // A node with little data is stored as one listpack: half of the memory, and half of the time to create it.
    ['hash-max-listpack-value', '1024'],
    // Deleting a topic or trimming a log must not block other commands while its memory is freed.
    ['lazyfree-lazy-user-del', 'yes'],
    ['lazyfree-lazy-server-del', 'yes'],
    ['lazyfree-lazy-expire', 'yes'],
  ]);
}

/** Bytes of output that may wait for one client before it is disconnected: an eighth of the memory, at least the largest replies. */
function outputBytesMax(maxmemoryBytes: number): number {
  return Math.max(256 * 1024 * 1024, Math.floor(maxmemoryBytes / 8));
}

function availableMemoryBytes(): number {
  const limit = process.constrainedMemory(); // limit of the container; 0, or more than the machine has, if there is none
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
