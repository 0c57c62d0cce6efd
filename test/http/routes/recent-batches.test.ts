// Readers near the end of a log are served from the memory of a broker, in every form, and get what the store has.
import t from 'tap';
import { fetchBatches } from '../../helpers/batches.ts';
import { eventually, http } from '../../helpers/server.ts';
import { startTestBrokers, values } from '../../helpers/topics.ts';

const { server, other, newTopic } = await startTestBrokers(t);

async function hits(): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/^weir_batch_cache_hits_total (\d+)/m.exec(text)![1]);
}

t.test('fetches in every form, and consume calls, are served from memory', async (t) => {
  const topic = await newTopic(t);
  const { body } = await http(`${server.url}/v1/groups/near/members`, 'POST', {
    topics: [topic.name],
    reset: 'latest',
  });
  const consume = `${server.url}/v1/groups/near/members/${body.memberId}/records?wait=10s`;
  await http(consume.replace('10s', '0'));
  await http(topic.all, 'POST', { records: [{ value: 1 }, { value: 2 }] });
  const forms: Record<string, () => Promise<unknown[]>> = {
    json: async () => values((await http(`${topic.partition(0)}?offset=0`)).body),
    ndjson: async () => {
      const { body: text } = await http(`${topic.partition(0)}?offset=0`, 'GET', undefined, {
        accept: 'application/x-ndjson',
      });
      return text
        .trim()
        .split('\n')
        .map((line: string) => JSON.parse(line).value);
    },
    batches: async () => (await fetchBatches(`${topic.partition(0)}?offset=0`)).records.map(({ value }) => value),
    consume: async () => values((await http(consume)).body),
  };
  for (const [form, read] of Object.entries(forms)) {
    const before = await hits();
    t.same(await read(), [1, 2], form);
    t.equal(await hits(), before + 1, `${form} is a hit`);
  }
});

t.test('a fetch has each acknowledged append of any broker, and none that was deleted', async (t) => {
  const topic = await newTopic(t);
  let start = 0;
  for (let i = 0; i < 40; i++) {
    await http(i % 3 === 0 ? topic.otherAll : topic.all, 'POST', { records: [{ value: i }] });
    const from = Math.max(start, i - 3);
    t.same(values((await http(`${topic.partition(0)}?offset=${from}`)).body).at(-1), i);
    if (i % 7 === 0) {
      await http(`${topic.partition(0, 'other')}?before=${i}`, 'DELETE');
      start = i;
      t.equal((await http(`${topic.partition(0)}?offset=${i - 1}`)).status, i === 0 ? 400 : 416);
      t.match((await http(`${topic.partition(0)}?offset=${i}`)).body, { logStartOffset: i, endOffset: i + 1 });
    }
  }
  await http(`${other.url}/v1/topics/${topic.name}`, 'DELETE');
  await eventually(async () => (await http(topic.partition(0))).status === 404, 'the topic is gone');
});

t.test('a long poll gets the next record of this broker from memory', async (t) => {
  const topic = await newTopic(t);
  await http(topic.all, 'POST', { records: [{ value: 0 }] });
  for (let i = 1; i <= 5; i++) {
    const waiting = http(`${topic.partition(0)}?offset=${i}&wait=30s`);
    await eventually(
      async () => /weir_log_waits [1-9]/.test(await (await fetch(`${server.url}/metrics`)).text()),
      'it waits',
    );
    await http(topic.all, 'POST', { records: [{ value: i }] });
    t.match((await waiting).body, { records: [{ offset: i, value: i }], nextOffset: i + 1, endOffset: i + 1 });
  }
});
