// The commands of acks=all, by the features of Redis. A fake client replaces versions that are not installed.
// test/broker/replicas.test.ts uses a real replica.
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { StoreConnection } from '../../../src/store/redis/connection.ts';
import { Replication } from '../../../src/store/redis/replication.ts';

interface Abilities {
  waitaof: boolean;
  aofEnabled: boolean;
  /** The `appendfsync` of Redis; undefined if the user has no permission to read it. */
  appendfsync?: string | undefined;
  /** The reply of WAIT, and the first number in the reply of WAITAOF. */
  replicas?: number;
  synced?: number;
  /** Replicas do not confirm: WAIT takes its full timeout. */
  silent?: boolean;
}

function replicationOver({ waitaof, aofEnabled, appendfsync, replicas = 0, synced = 1, silent = false }: Abilities) {
  const asked: string[] = [];
  const waits: number[] = [];
  const client = {
    on: () => client,
    info: async () => `run_id:r1\r\naof_enabled:${aofEnabled ? 1 : 0}\r\n`,
    command: async () => [waitaof ? ['waitaof', -4] : null],
    config: async () => {
      if (appendfsync === undefined)
        throw new Error("NOPERM User weir has no permissions to run the 'config|get' command");
      return ['appendfsync', appendfsync];
    },
    set: async (key: string) => asked.push(`SET ${key}`),
    wait: async (count: number, ms: number) => {
      asked.push(`WAIT ${count}`);
      waits.push(ms);
      if (silent) await pause(ms);
      return replicas;
    },
    call: async (...words: string[]) => {
      asked.push(words.slice(0, 3).join(' '));
      return [synced, 0];
    },
  };
  const connection = { createDedicatedClient: () => client };
  return {
    replication: new Replication({ connectionOf: async () => connection } as unknown as StoreConnection),
    asked,
    waits,
  };
}

t.test('if Redis can report syncs, acks=all waits for the append-only file, also without replicas', async (t) => {
  const { replication, asked } = replicationOver({ waitaof: true, aofEnabled: true });
  t.match(await replication.waitForReplicas('k', 0, 'r1'), { replicas: 0, isSynced: true });
  t.same(asked, ['SET k', 'WAITAOF 1 0'], 'also without permission to read the configuration');
});

t.test('acks=all waits first for replicas, and for the append-only file in the remaining time', async (t) => {
  const { replication, asked } = replicationOver({
    waitaof: true,
    aofEnabled: true,
    appendfsync: 'everysec',
    replicas: 2,
    synced: 0,
  });
  t.match(await replication.waitForReplicas('k', 2, 'r1'), { replicas: 2, isSynced: false });
  t.same(asked, ['SET k', 'WAIT 2', 'WAITAOF 1 0']);
});

t.test(
  'if Redis cannot report syncs, has no append-only file, or never syncs it, only replicas must confirm',
  async (t) => {
    for (const abilities of [
      { waitaof: false, aofEnabled: true },
      { waitaof: true, aofEnabled: false },
      { waitaof: true, aofEnabled: true, appendfsync: 'no' },
    ]) {
      const { replication, asked } = replicationOver({ ...abilities, replicas: 1 });
      t.match(await replication.waitForReplicas('k', 1, 'r1'), { replicas: 1, isSynced: true });
      t.same(asked, ['SET k', 'WAIT 1']);
      t.match(
        await replication.waitForReplicas('k', 0, 'another run'),
        { isSynced: true },
        'without anything to wait for, the write is confirmed',
      );
      t.equal(asked.length, 2);
    }
  },
);

t.test('a write to an earlier run of Redis cannot be confirmed', async (t) => {
  const { replication } = replicationOver({ waitaof: true, aofEnabled: true });
  await t.rejects(replication.waitForReplicas('k', 0, 'another run'), { code: 'STORE_UNAVAILABLE' });
});

t.test(
  'a call that arrives during a wait that times out does not wait for twice the time (guarantee E3)',
  async (t) => {
    const { replication, waits } = replicationOver({ waitaof: false, aofEnabled: false, silent: true });
    const rounds = [replication.waitForReplicas('k', 1, 'r1'), replication.waitForReplicas('k', 1, 'r1')];
    // The first wait is running when the next call arrives.
    while (waits.length === 0) await pause(1);
    rounds.push(replication.waitForReplicas('k', 1, 'r1'), replication.waitForReplicas('k', 2, 'r1'));
    for (const { replicas: count } of await Promise.all(rounds)) t.equal(count, 0);
    t.equal(waits.length, 2, 'all calls that arrived meanwhile share one wait');
    t.ok(waits[0]! + waits[1]! < 1700, `they wait for ${waits} ms`);
  },
);
