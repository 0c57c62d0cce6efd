// The metrics of a server as Prometheus reads them: names, kinds and labels, and what Prometheus' own checker says of them.
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { TopicTraffic, topicSeriesMax } from '../../src/broker/log/topic-traffic.ts';
import { createMetrics } from '../../src/broker/metrics.ts';
import { createTopic, produce } from '../helpers/groups.ts';
import { eventually, http, metric, startTestServer } from '../helpers/server.ts';

const server = await startTestServer(t, { brokerId: 1001 });
await createTopic(server.url, 'orders', 1);
await produce(server.url, 'orders', 0, [1, 2, 3]);
await http(`${server.url}/v1/topics/orders/partitions/0/records?maxRecords=2`);
const scrape = async (): Promise<string> => (await http(`${server.url}/metrics`)).body;

t.test('records are counted by topic, and the size of a topic is shown', async (t) => {
  t.equal(await metric(server, 'weir_topic_appended_records_total{topic="orders"}'), 3);
  t.equal(await metric(server, 'weir_topic_fetched_records_total{topic="orders"}'), 2);
  t.ok((await metric(server, 'weir_topic_appended_bytes_total{topic="orders"}')) > 0);
  t.ok((await metric(server, 'weir_topic_fetched_bytes_total{topic="orders"}')) > 0);
  const bytes = () => metric(server, 'weir_topic_log_bytes{topic="orders"}');
  await eventually(async () => (await bytes()) > 0, 'the controller shows the bytes of logs');
  const offsets = [{ topic: 'orders', partition: 0, offset: 1 }];
  await http(`${server.url}/v1/groups/g/offsets`, 'POST', { offsets });
  const age = () => metric(server, 'weir_group_lag_seconds{group="g",topic="orders"}');
  await eventually(async () => (await age()) > 0, 'the age of the oldest record that a group has yet to read');
  await http(`${server.url}/v1/topics/orders/partitions/0/records?before=latest`, 'DELETE');
  await eventually(async () => (await bytes()) === 0, 'also after records were removed');
  await eventually(async () => (await age()) === 0, 'and nothing is left to read');
});

t.test('topics beyond the limit are counted together, and a deleted one makes room', async (t) => {
  const metrics = createMetrics();
  const traffic = new TopicTraffic(metrics);
  for (let i = 0; i < topicSeriesMax + 5; i += 1) traffic.noteAppended(`t${i}`, 1, 10);
  const text = () => metrics.registry.getSingleMetricAsString('weir_topic_appended_records_total');
  t.equal((await text()).match(/^weir_/gm)!.length, topicSeriesMax + 1);
  t.match(await text(), /topic="\(other\)"} 5$/m);
  traffic.forget('t0');
  traffic.noteAppended('new', 2, 20);
  t.match(await text(), /topic="new"} 2$/m);
  t.notMatch(await text(), /topic="t0"/);
});

t.test('durations of requests that asked to wait stand apart', async (t) => {
  const { headers } = await http(`${server.url}/v1/nodes/none?wait=1ms`, 'GET', undefined, { 'if-none-match': '"0"' });
  t.ok(headers.get('x-request-id'));
  const text = await scrape();
  t.match(
    text,
    /weir_http_request_duration_seconds_count\{method="GET",route="\/v1\/nodes\/\*",status="304",wait="true"\} 1/,
  );
  t.match(
    text,
    /weir_http_request_duration_seconds_count\{method="POST",route="\/v1\/topics",status="201",wait="false"\} 1/,
  );
});

t.test('the service as a whole has its version, its position, and the times of its store', async (t) => {
  const text = await scrape();
  t.match(text, /weir_build_info\{version="\d[^"]*",broker="1001"\} 1/);
  t.ok((await metric(server, 'weir_zxid')) > 0);
  t.match(text, /weir_store_call_duration_seconds_count\{op="logs\/append"\} [1-9]/);
  await eventually(
    async () => (await metric(server, 'weir_store_memory_bytes{kind="used"}')) > 0,
    'the memory of the store',
  );
  for (const name of ['weir_sessions', 'weir_store_loading_ratio', 'weir_origins_refused_total']) {
    t.ok((await metric(server, name)) >= 0, name);
  }
});

const hasPromtool = spawnSync('promtool', ['--version']).error === undefined;
const skip = hasPromtool ? false : 'promtool is not installed; on Debian and Ubuntu it is in the package prometheus';

t.test('promtool check metrics finds nothing', { skip }, async (t) => {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: await scrape(),
    encoding: 'utf8',
  });
  t.equal(status, 0, `${stdout}${stderr}`);
});
