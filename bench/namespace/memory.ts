// Measures the memory of a session, a socket and a watch: in the server after a garbage collection, and in Redis.
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import { shown, table } from '../lib/measure.ts';
import type { WeirServer } from '../lib/processes.ts';
import { RedisLoad } from '../lib/redis-load.ts';
import { SocketFleet } from '../lib/sockets.ts';
import type { Scale } from '../lib/workload.ts';

interface Memory {
  heap: number;
  rss: number;
  redis: number;
}

/** @returns a Markdown table */
export async function measureMemory(server: WeirServer, scale: Scale): Promise<string> {
  const redis = await RedisLoad.open(server.socketPath);
  const load = await HttpLoad.open(server.url, 64);
  const measured = async (): Promise<Memory> => {
    // What ended just before, such as a closed socket, must be freed first.
    await sleep(200);
    const { heapUsed, rss } = await server.memory();
    return { heap: heapUsed, rss, redis: await redis.usedMemoryBytes() };
  };
  const rows: string[][] = [];
  const cost = async (what: string, count: number, act: () => Promise<unknown>) => {
    const before = await measured();
    await act();
    const after = await measured();
    const each = (part: keyof Memory) => shown((after[part] - before[part]) / count);
    rows.push([what, count.toLocaleString('en'), each('heap'), each('rss'), each('redis')]);
  };

  const count = scale.socketsWeighed;
  const fleet = new SocketFleet(`${server.url}/v1/watch`, () => false);
  const watch = (id: string, path: string) => JSON.stringify({ type: 'watch', id, path });
  // The first sockets allocate memory that is reused; the next ones show the cost of each.
  await fleet.grow(200);
  await fleet.close();
  await cost('open socket', count, () => fleet.grow(count));
  await cost('its first watch, all of one path', count, () => fleet.send([watch('w', '/bench')]));
  const paths = Array.from({ length: 10 }, (_, i) => watch(`w${i}`, `/bench/watched-by-many-${i}`));
  await cost('further watch, of one of 10 paths', count * paths.length, () => fleet.send(paths));
  const own = Array.from({ length: 5000 }, (_, i) => watch(`own${i}`, `/bench/watched-by-one-${i}`));
  await cost('further watch, of a path of its own', own.length, () => fleet.send(own, 1));
  await fleet.close();

  const session = requestBytes('POST', '/v1/sessions', '{"ttl":"10m"}', { 'content-type': 'application/json' });
  const sessions = count * 2;
  await cost('session', sessions, () => load.run(() => session, 60_000, sessions));
  load.close();
  redis.close();
  return table('Memory, bytes each', ['', 'count', 'server heap', 'server RSS', 'Redis'], rows);
}
