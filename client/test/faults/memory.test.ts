// The heap is steady over many operations of each kind: `npm run test:client`, or with WEIR_MEMORY_OPERATIONS=100000.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { startServerProcess } from '../../../test/helpers/process.ts';
import { lock } from '../../src/recipes/index.ts';
import { startClient } from '../client.ts';

const operations = Number(process.env.WEIR_MEMORY_OPERATIONS ?? 10_000);
const growthMax = 5 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of the heap that are in use, with nothing left to collect. */
function heapBytes(): number {
  for (let n = 0; n < 3; n += 1) collect();
  return process.memoryUsage().heapUsed;
}

t.test('the heap does not grow', async (t) => {
  const server = await startServerProcess(t, { WEIR_DATA_DIR: t.testdir() });
  const weir = startClient(t, server.url, { onEvent: () => {} });
  await weir.tree.create('/memory');
  await weir.admin.topics.create({ name: 'memory' });
  const producer = weir.producer({ topic: 'memory' });
  const watch = weir.watch('/memory');
  const signal = new AbortController().signal;
  const round = async (count: number) => {
    for (let done = 0; done < count; done += 100) {
      const all = Array.from({ length: 45 }, (_, n) => [
        weir.tree.set('/memory', String(n), { signal }),
        weir.tree.get('/memory', { signal }),
        producer.send({ value: n }),
      ]);
      await Promise.all(all.flat());
      await weir.tree.waitFor('/memory', { signal });
      await lock(weir, 'memory').with(() => {}, { signal });
      for (let n = 0; n < 45; n += 1) await watch.next();
    }
  };
  await round(operations / 10);
  const before = heapBytes();
  await round(operations);
  const grown = heapBytes() - before;
  t.ok(grown < growthMax, `${Math.round(grown / 1024)} KiB more after ${operations} operations`);
  await watch.return();
});
