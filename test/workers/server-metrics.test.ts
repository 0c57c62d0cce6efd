// /metrics of a server with several workers: the sum over all of them, from whichever is asked, and never less than before.
import t from 'tap';
import { eventually, http } from '../helpers/server.ts';
import { isRunning, onNewConnection, startWorkers, type WorkersServer } from '../helpers/workers.ts';

/** The value of a metric, by its name with its labels as printed. */
async function value(server: WorkersServer, name: string): Promise<number> {
  const { body } = await onNewConnection(`${server.url}/metrics`);
  const line = String(body)
    .split('\n')
    .find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? 'NaN');
}

const puts = 'weir_http_request_duration_seconds_count{method="PUT",route="/v1/nodes/*",status="201",wait="false"}';

t.test('the metrics of any worker are those of all', async (t) => {
  const server = await startWorkers(t);
  for (let i = 0; i < 10; i += 1) await onNewConnection(`${server.url}/v1/nodes/n${i}`, 'PUT', i);
  for (let i = 0; i < 4; i += 1) t.equal(await value(server, puts), 10, 'counters and histograms are summed');
  t.equal(await value(server, 'weir_store_open'), 1, 'what all workers observe is no sum');
  t.equal(await value(server, 'weir_controller'), 1);
  t.equal(await value(server, 'weir_workers'), 2);
  t.equal(await value(server, 'weir_workers_serving'), 2);
  const { body } = await http(`${server.url}/metrics`);
  for (const worker of ['primary', '1', '2']) {
    for (const name of [
      'process_cpu_seconds_total',
      'process_start_time_seconds',
      'nodejs_eventloop_lag_p99_seconds',
    ]) {
      t.match(body, `${name}{worker="${worker}"} `, 'those of processes have the worker as a label');
    }
  }
  const names = [...String(body).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  t.equal(new Set(names).size, names.length, 'each metric is there once');
});

t.test('what a dead worker has counted stays counted, and deaths are counted', async (t) => {
  const server = await startWorkers(t);
  for (let i = 0; i < 10; i += 1) await onNewConnection(`${server.url}/v1/nodes/n${i}`, 'PUT', i);
  t.equal(await value(server, puts), 10);
  for (const { worker, pid } of server.workers()) {
    process.kill(pid, 'SIGKILL');
    await eventually(
      () => server.workers().some((other) => other.worker === worker && other.pid !== pid),
      'it is replaced',
    );
    t.equal(await value(server, puts), 10, `after the death of worker ${worker}`);
  }
  t.equal(await value(server, 'weir_workers_died_total'), 2);
  await onNewConnection(`${server.url}/v1/nodes/more`, 'PUT', 1);
  t.equal(await value(server, puts), 11, 'new work is added');
});

t.test('a worker that hangs is left out in time, and counted; what it had counted stays', async (t) => {
  const server = await startWorkers(t);
  for (let i = 0; i < 10; i += 1) await onNewConnection(`${server.url}/v1/nodes/n${i}`, 'PUT', i);
  t.equal(await value(server, puts), 10);
  const [first] = server.workers();
  process.kill(first!.pid, 'SIGSTOP');
  t.teardown(() => isRunning(first!.pid) && process.kill(first!.pid, 'SIGCONT'));
  // A connection that reaches the worker that hangs has no response: others do.
  const text = await eventually(async () => {
    const timeout = AbortSignal.timeout(10_000);
    const { body } = await http(`${server.url}/metrics`, 'GET', undefined, {}, timeout).catch(() => ({ body: '' }));
    return /^weir_worker_reports_missing_total [1-9]/m.test(body) ? String(body) : undefined;
  }, 'it is counted as missing');
  t.match(text, `${puts} 10\n`);
  t.notMatch(text, /process_resident_memory_bytes\{worker="1"\}/, 'it has no gauges');
  t.match(text, /process_resident_memory_bytes\{worker="2"\}/);
  process.kill(first!.pid, 'SIGCONT');
  await eventually(
    async () => (await value(server, 'process_resident_memory_bytes{worker="1"}')) > 0,
    'it is there again',
  );
});
