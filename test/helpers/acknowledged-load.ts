// Producers that continue during a failover, and record what was acknowledged: no acknowledged record may be lost, and none
// duplicated. A session with a short TTL is renewed meanwhile: it must not end, unless the machine paused.
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { eventually, type HttpResponse, http } from './server.ts';

export interface AcknowledgedLoad {
  /** Waits until so many further records are acknowledged in every partition. */
  goesOn(count: number, what: string): Promise<void>;
  /** Ends the load, reads the topic, and compares it with the acknowledged records. */
  check(t: Test): Promise<void>;
}

/** The codes with which a request may be refused during a failover. */
const passing = /^(STORE_UNAVAILABLE|NOT_ENOUGH_REPLICAS|NOT_ENOUGH_REPLICAS_AFTER_APPEND)$/;

/** A session of 1 s that is renewed ten times a second survives shorter pauses. */
const standstillMsMin = 300;

/**
 * Creates a topic, a session, and a producer for each partition. A producer sends record after record with `acks=all` and an
 * Idempotency-Key, without retries.
 * @param replicas how many replicas must have a record
 */
export async function startAcknowledgedLoad(
  url: string,
  { topic, partitions, replicas }: { topic: string; partitions: number; replicas: number },
): Promise<AcknowledgedLoad> {
  const config = { 'min.insync.replicas': replicas + 1 };
  await http(`${url}/v1/topics`, 'POST', { name: topic, partitions, config });
  const stop = new AbortController();
  const acknowledged: string[][] = Array.from({ length: partitions }, () => []);
  const refusals = new Map<string, number>();
  const unexpected: HttpResponse[] = [];
  let slowestMs = 0;

  async function produce(partition: number): Promise<void> {
    for (let number = 0; !stop.signal.aborted; number++) {
      const value = `${partition}-${number}`;
      const startedAt = performance.now();
      const body = { records: [{ value, partition }] };
      const response = await http(`${url}/v1/topics/${topic}/records?acks=all`, 'POST', body, {
        'Idempotency-Key': value,
      });
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      if (response.status === 200) {
        acknowledged[partition]!.push(value);
        continue;
      }
      refusals.set(response.body.code, (refusals.get(response.body.code) ?? 0) + 1);
      if (!passing.test(response.body.code)) unexpected.push(response);
    }
  }

  const ephemeral = `${url}/v1/nodes/of-${topic}`;
  let session = '';
  async function begin(): Promise<void> {
    session = (await http(`${url}/v1/sessions`, 'POST', { ttl: '1s' })).body.session;
    await http(`${ephemeral}?mode=ephemeral`, 'PUT', 'x', { 'Weir-Session': session });
  }
  const standstill = watchStandstill();
  async function renew(): Promise<void> {
    while (!stop.signal.aborted) {
      const response = await http(`${url}/v1/sessions/${session}`, 'PUT');
      if (response.status === 200) standstill.begin();
      // The session could not be renewed, and the store had no outage, so the session may end (N6).
      else if (response.body.code === 'SESSION_EXPIRED' && standstill.sumMs() > standstillMsMin) await begin();
      else if (!passing.test(response.body.code)) unexpected.push(response);
      await pause(100);
    }
    standstill.stop();
  }

  await begin();
  const renewing = renew();
  const running = acknowledged.map((_, partition) => produce(partition));
  return {
    goesOn: async (count, what) => {
      const wanted = acknowledged.map(({ length }) => length + count);
      const isThere = () => acknowledged.every(({ length }, partition) => length >= wanted[partition]!);
      await eventually(isThere, `${what}: records are acknowledged`, 30_000);
    },
    check: async (t) => {
      await eventually(async () => (await http(ephemeral)).status === 200, 'the node of the session exists');
      stop.abort();
      await Promise.all([...running, renewing]);
      t.same(unexpected.slice(0, 3), [], 'requests failed only because of the failover');
      for (const [partition, values] of acknowledged.entries()) {
        const found = new Map<string, number>();
        for (let offset = 0; ; ) {
          const path = `/v1/topics/${topic}/partitions/${partition}/records?offset=${offset}&maxRecords=10000`;
          const { body } = await http(`${url}${path}`);
          for (const { value } of body.records) found.set(value, (found.get(value) ?? 0) + 1);
          if (body.nextOffset === offset) break;
          offset = body.nextOffset;
        }
        const lost = values.filter((value) => !found.has(value));
        t.same(lost, [], `no acknowledged record is lost in partition ${partition}`);
        t.same(
          [...found].filter(([, times]) => times > 1),
          [],
          'no record is duplicated',
        );
      }
      const refused = [...refusals].map(([code, count]) => `${count} ${code}`).join(', ');
      const counts = acknowledged.map(({ length }) => length).join(', ');
      t.comment(`${counts} acknowledged; ${refused || 'none refused'}; slowest response ${Math.round(slowestMs)} ms`);
    },
  };
}

/** A shared machine sometimes pauses all of its processes: the total of these pauses since `begin`. */
function watchStandstill() {
  const everyMs = 20;
  let [sumMs, seenAt] = [0, performance.now()];
  const look = () => {
    const now = performance.now();
    sumMs += Math.max(0, now - seenAt - everyMs);
    seenAt = now;
  };
  const timer = setInterval(look, everyMs);
  return {
    begin: () => {
      look();
      sumMs = 0;
    },
    sumMs: () => {
      look();
      return sumMs;
    },
    stop: () => clearInterval(timer),
  };
}
