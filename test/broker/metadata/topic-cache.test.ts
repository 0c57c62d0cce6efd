// What a broker knows of topics while other brokers change them, and no event has told it yet.
import { pino } from 'pino';
import t from 'tap';
import { TopicCache } from '../../../src/broker/metadata/topic-cache.ts';
import { createMetrics } from '../../../src/broker/metrics.ts';
import type { EventTail } from '../../../src/broker/watches/event-tail.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const { broker, url } = await startTestServer(t);
const silent = { subscribe: () => () => {}, onGap: () => () => {} } as unknown as EventTail;

t.test('a topic that was created while others were told that it does not exist is found', async (t) => {
  const { namespace, logs } = broker.store;
  let replies = 0;
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const get = async (path: string) => {
    const reply = await namespace.get(path).catch((error: unknown) => ({ error }));
    replies += 1;
    await released;
    if ('error' in reply) throw reply.error;
    return reply;
  };
  const slow = { get } as unknown as typeof namespace;
  const cache = new TopicCache({ namespace: slow, logs }, silent, createMetrics(), pino({ level: 'silent' }));
  const early = t.rejects(cache.get('new'), { code: 'UNKNOWN_TOPIC' });
  await eventually(() => replies === 2, 'the store has replied that there is none');
  t.equal((await http(`${url}/v1/topics`, 'POST', { name: 'new' })).status, 201);
  const late = Promise.all([1, 2, 3].map(() => cache.get('new')));
  release();
  await early;
  for (const topic of await late) t.match(topic, { name: 'new' });
  t.equal(replies, 4, 'they share the read that follows, which is of two nodes');
});
