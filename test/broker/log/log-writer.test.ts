// Produce requests for one partition that arrive at the same time.
import t from 'tap';
import { parseLines, type RequestRecords } from '../../../src/core/records/record-input.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const recordsOf = (lines: string): RequestRecords => ({
  kind: 'separate',
  records: parseLines(Buffer.from(lines), 1).records,
});

t.test('a request that arrives just as an append batch ends is appended, too', async (t) => {
  const { url, broker } = await startTestServer(t);
  await http(`${url}/v1/topics`, 'POST', { name: 'busy' });
  const moments = 60;
  let asked = 0;
  let completed = 0;
  const produce = async () => {
    asked += 1;
    await broker.logWriter.produce({ topic: 'busy', records: recordsOf('{"value":1}'), acks: '1' });
    completed += 1;
  };
  // Replies to other calls arrive together with that of the append batch, so other requests run between any two of its steps.
  const { logs } = broker.store;
  const append = logs.append.bind(logs);
  let hasMet = false;
  logs.append = async (...flight) => {
    const outcomes = await append(...flight);
    if (!hasMet) {
      hasMet = true;
      for (let moment = 0; moment < moments; moment += 1) {
        let before = Promise.resolve();
        for (let step = 0; step < moment; step += 1) before = before.then(() => undefined);
        void before.then(produce);
      }
    }
    return outcomes;
  };
  await produce();
  await eventually(() => asked === moments + 1 && completed === asked, 'all requests have a response', 5000);
  t.equal(completed, moments + 1);
  const { body } = await http(`${url}/v1/topics/busy`);
  t.equal(body.partitions[0].endOffset, moments + 1);
});

t.test('a batch of a request that was not sent does not hide that the result of another is unknown', async (t) => {
  const { url, broker } = await startTestServer(t);
  await http(`${url}/v1/topics`, 'POST', { name: 'lost', partitions: 2 });
  const detail = 'Whether the change was made is unknown.';
  broker.store.logs.append = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    throw new ServiceError('STORE_UNAVAILABLE', detail);
  };
  const line = (partition: number) => JSON.stringify({ partition, value: 1 });
  const produce = (...partitions: number[]) =>
    broker.logWriter.produce({ topic: 'lost', records: recordsOf(partitions.map(line).join('\n')), acks: '1' });
  await broker.topics.get('lost');
  const refused = { code: 'STORE_UNAVAILABLE', message: detail };
  // The second request waits behind the first at partition 0, and is the first one at partition 1.
  await Promise.all([t.rejects(produce(0), refused), t.rejects(produce(0, 1), refused)]);
});

t.test('a request gets a response in time even if no replica confirms it (guarantee E3)', async (t) => {
  const { url, broker } = await startTestServer(t);
  await http(`${url}/v1/topics`, 'POST', { name: 'unheard', config: { 'min.insync.replicas': 2 } });
  broker.store.logs.connectedReplicas = async () => 1;
  broker.store.logs.waitForReplicas = () => new Promise(() => {});
  t.match(await http(`${url}/v1/topics/unheard/records?acks=all`, 'POST', { records: [{ value: 1 }] }), {
    status: 503,
    body: { code: 'STORE_UNAVAILABLE', detail: /replicated, is unknown: retry with the same Idempotency-Key/ },
  });
});
