// Retention as a broker does it over time; which batches go is the script's to say (test/store/logs.test.ts).
import t from 'tap';
import { eventually, http, startTestServer } from '../helpers/server.ts';

t.test('retention keeps up with many small batches', async (t) => {
  const { url, broker } = await startTestServer(t);
  const { body: topic } = await http(`${url}/v1/topics`, 'POST', { name: 'busy', config: { 'retention.bytes': 20 } });
  const { logs } = broker.store;
  const batch = { count: 1, records: Buffer.from('{"value":1}'), ownTimestampMax: undefined, ownTimestamps: false };
  const batches = 15_000;
  for (let i = 0; i < batches; i += 500)
    await logs.append(
      topic.topicId,
      0,
      Array.from({ length: 500 }, () => batch),
    );
  const bounds = async () => (await logs.bounds([{ topicId: topic.topicId, partition: 0 }]))[0]!;
  await eventually(async () => (await bounds()).bytes < 40, 'what is over the limit is gone', 20_000);
  t.match(await bounds(), { logStartOffset: batches - 2, endOffset: batches, bytes: 22 });
});
