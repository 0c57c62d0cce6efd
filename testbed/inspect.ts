// Prints what Redis stores of the tree, decoded: the node at a path, and the newest entries of both event streams. As a program:
// `npm run inspect -- --socket PATH /path…`, `npm run inspect -- --socket PATH --events 20`; `--url redis://…` in place of
// `--socket`, and `--prefix` for a cluster of another name. It only reads, and needs no server.
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { coordinationKeys } from '../src/store/keys.ts';
import { decodeEntry, decodeStat } from '../src/store/tree/node-codec.ts';

const usage = 'usage: inspect (--socket PATH | --url redis://…) [--prefix weir] (/path… | --events COUNT)';

/** Reads the node at `path`: its stat, content type and data as text; undefined if there is none. */
export async function storedNode(redis: Redis, prefix: string, path: string) {
  const { node } = coordinationKeys(prefix);
  const [stat, type, data] = await redis.hmgetBuffer(node(path), 'stat', 'type', 'data');
  return stat ? { path, stat: decodeStat(stat), contentType: `${type ?? ''}`, data: `${data ?? ''}` } : undefined;
}

/** Reads the newest `count` entries of each event stream, the oldest first: one entry has the transactions of one script call. */
export async function storedEvents(redis: Redis, prefix: string, count: number) {
  const { events, offsetEvents } = coordinationKeys(prefix);
  const streams = await Promise.all(
    [events, offsetEvents].map(async (stream) => {
      const entries = await redis.xrevrangeBuffer(stream, '+', '-', 'COUNT', count);
      return entries.reverse().map(([id, [, stored]]) => ({
        stream,
        id: `${id}`,
        transactions: decodeEntry(stored ?? Buffer.alloc(0), 0).map(({ zxid, events }) => ({
          zxid,
          // The stat is decoded when it is read.
          events: events.map(({ kind, path, stat, contentType, data }) => ({
            kind,
            path,
            stat,
            contentType,
            data: data?.toString(),
          })),
        })),
      }));
    }),
  );
  return streams.flat();
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      socket: { type: 'string' },
      url: { type: 'string' },
      prefix: { type: 'string', default: 'weir' },
      events: { type: 'string' },
    },
    allowPositionals: true,
  });
  const { socket, url, prefix } = values;
  const count = Number(values.events ?? 0);
  const asksNothing = positionals.length === 0 && count === 0;
  if ((socket === undefined) === (url === undefined) || asksNothing || !Number.isInteger(count) || count < 0) {
    console.error(usage);
    process.exit(2);
  }
  const redis = socket === undefined ? new Redis(url ?? '') : new Redis(socket);
  try {
    for (const path of positionals) {
      console.log(JSON.stringify((await storedNode(redis, prefix, path)) ?? { path, missing: true }, undefined, 2));
    }
    if (count > 0) console.log(JSON.stringify(await storedEvents(redis, prefix, count), undefined, 2));
  } finally {
    redis.disconnect();
  }
}

if (import.meta.filename === process.argv[1]) await main();
