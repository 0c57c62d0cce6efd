// Alert rules and the dashboard, as Prometheus reads them, against running servers.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { freePort } from '../../testbed/scope.ts';
import { writePolicy } from '../helpers/access.ts';
import { startServerProcess } from '../helpers/process.ts';
import { eventually, http } from '../helpers/server.ts';
import { makeTlsFiles } from '../helpers/tls.ts';
import { deployFolder, folderFor, needing, run, withPromtool } from './tools.ts';

const rulesFile = join(deployFolder, 'prometheus/alerts.yaml');
const withPrometheus = needing('prometheus', 'on Debian and Ubuntu it is in the package of that name');

interface Rule {
  alert: string;
  expr: string;
}
const rules: Rule[] = parse(readFileSync(rulesFile, 'utf8')).groups.flatMap((group: any) => group.rules);

interface Panel {
  title: string;
  targets?: { expr: string }[];
}
const dashboard = JSON.parse(readFileSync(join(deployFolder, 'grafana/weirkeeper.json'), 'utf8'));
const queries = (dashboard.panels as Panel[]).flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({
    title,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$job', '.*').replaceAll('$instance', '.*'),
  })),
);

/** Panels that show nothing while nothing is wrong: their series begin with the first case. */
const emptyWhileWell = new Set(['Refused', 'Sessions']);

/** Servers with all that has metrics of its own, and some use of each. */
async function startServers(t: Parameters<typeof writePolicy>[0]): Promise<{ plain: string; tls: string }> {
  const policy = await writePolicy(t, ['admin'], 'public: [docs, metrics]\nallow: [{ who: admin, admin: true }]\n');
  const folder = folderFor(t);
  const server = await startServerProcess(t, {
    WEIR_DATA_DIR: join(folder, 'plain'),
    WEIR_WORKERS: '2',
    WEIR_ACCESS_FILE: policy.file,
    WEIR_AUDIT_FILE: join(folder, 'audit'),
  });
  const { tlsCert, tlsKey } = (await makeTlsFiles(t)).config;
  const secure = await startServerProcess(t, {
    WEIR_DATA_DIR: join(folder, 'tls'),
    WEIR_TLS_CERT: tlsCert,
    WEIR_TLS_KEY: tlsKey,
  });
  const headers = policy.as('admin');
  const does = async (method: string, path: string, body: unknown) => {
    const { status } = await http(`${server.url}${path}`, method, body, headers);
    if (status >= 300) throw new Error(`${method} ${path} replied ${status}`);
  };
  await does('POST', '/v1/topics', { name: 'clicks', partitions: 2 });
  await does('POST', '/v1/groups/stats/members', { memberId: 'm', topics: ['clicks'], reset: 'earliest' });
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/socket`, { headers });
  t.teardown(() => socket.terminate());
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  await fetch(`${server.url}/v1/watch/x`, { headers, signal: ending.signal });
  const use = async () => {
    await does('POST', '/v1/topics/clicks/records', { records: [{ value: 1 }] });
    await does('PUT', '/v1/nodes/x', 'x');
    await does('GET', '/v1/topics/clicks/partitions/0/records?offset=earliest', undefined);
    socket.send(JSON.stringify({ id: 1, op: 'get', path: '/x' }));
  };
  await use();
  const timer = setInterval(() => void use().catch(() => undefined), 500);
  t.teardown(() => clearInterval(timer));
  return { plain: server.url, tls: secure.url };
}

let servers: ReturnType<typeof startServers> | undefined;
/** The servers of all tests. */
const running = () => {
  servers ??= startServers(t);
  return servers;
};

t.test('promtool finds no fault in the alerts, and they fire when they should', withPromtool, async (t) => {
  const checked = run('promtool', ['check', 'rules', rulesFile]);
  t.equal(checked.status, 0, checked.text);
  const tested = run('promtool', ['test', 'rules', join(deployFolder, 'prometheus/alerts.test.yaml')]);
  t.equal(tested.status, 0, tested.text);
  const names = readFileSync(join(deployFolder, 'prometheus/alerts.test.yaml'), 'utf8');
  for (const { alert } of rules) t.ok(names.includes(`${alert} fires`) && names.includes(`${alert} is quiet`), alert);
});

t.test(
  'a running server has every metric that alerts and dashboard ask for, and Prometheus can answer',
  withPrometheus,
  async (t) => {
    const servers = await running();
    const port = await freePort();
    const folder = folderFor(t);
    const scrapes = Object.entries(servers).map(([name, url]) => ({
      job_name: `weirkeeper-${name}`,
      scheme: new URL(url).protocol.replace(':', ''),
      tls_config: { insecure_skip_verify: true },
      static_configs: [{ targets: [new URL(url).host] }],
    }));
    const global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' };
    const file = join(folder, 'prometheus.yaml');
    writeFileSync(file, JSON.stringify({ global, rule_files: [rulesFile], scrape_configs: scrapes }));
    const prometheus = spawn(
      'prometheus',
      [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    );
    t.teardown(() => prometheus.kill('SIGKILL'));
    const ask = async (path: string) => (await http(`http://127.0.0.1:${port}/api/v1/${path}`)).body;
    const query = (expr: string) => ask(`query?query=${encodeURIComponent(expr)}`);
    await eventually(async () => {
      const answer = await query('count_over_time(up[1m])').catch(() => undefined);
      const counts = answer?.data?.result?.map(({ value }: any) => Number(value[1])) ?? [];
      return counts.length === 2 && counts.every((count: number) => count >= 5);
    }, 'Prometheus has scraped both some times');
    t.match(
      (await query('up')).data.result.map(({ value }: any) => value[1]),
      ['1', '1'],
      'each scrape succeeds',
    );

    // The names that exist are those of the server's own metadata, also while a metric has no series.
    const { data } = await ask('metadata');
    const known = new Set(Object.keys(data));
    const asked = [...rules.map(({ alert, expr }) => ({ title: alert, expr })), ...queries];
    const unknown = asked.flatMap(({ title, expr }) =>
      [...expr.matchAll(/\b(?:weir|process|nodejs)_\w+/g)]
        .map(([name]) => name.replace(/_(bucket|count|sum)$/, (end) => (known.has(name) ? end : '')))
        .filter((name) => !known.has(name))
        .map((name) => `${title}: ${name}`),
    );
    t.same(unknown, []);

    const empty = async () => {
      const titles = new Map<string, number>();
      for (const { title, expr } of queries) {
        const answer = await query(expr);
        if (answer.status !== 'success') throw new Error(`${title}: ${answer.error} in ${expr}`);
        titles.set(title, (titles.get(title) ?? 0) + answer.data.result.length);
      }
      return [...titles].filter(([title, count]) => count === 0 && !emptyWhileWell.has(title)).map(([title]) => title);
    };
    let left: string[] = [];
    await eventually(
      async () => {
        left = await empty();
        return left.length === 0;
      },
      'every panel shows something',
      30_000,
    ).catch(() => undefined);
    t.same(left, [], 'no panel is empty');

    const { data: loaded } = await ask('rules');
    const health = loaded.groups.flatMap((group: any) =>
      group.rules.map(({ name, health }: any) => ({ name, health })),
    );
    t.same(
      health.filter((rule: any) => rule.health !== 'ok'),
      [],
      'each rule is evaluated',
    );
    t.equal(health.length, rules.length);
    const firing = (await query('ALERTS{alertstate="firing"}')).data.result.map(({ metric }: any) => metric.alertname);
    t.same(new Set(firing), new Set(), 'none of them fires at a server that is well');
  },
);

t.test('promtool finds nothing to criticise in the metrics', withPromtool, async (t) => {
  const { plain, tls } = await running();
  const ofTls = await new Promise<string>((resolve, reject) => {
    const request = get(`${tls}/metrics`, { rejectUnauthorized: false }, (response) => {
      response.toArray().then((pieces) => resolve(Buffer.concat(pieces).toString()), reject);
    });
    request.once('error', reject);
  });
  for (const text of [(await http(`${plain}/metrics`)).body, ofTls]) {
    const { status, text: found } = run('promtool', ['check', 'metrics'], text);
    t.equal(found, '');
    t.equal(status, 0);
  }
});
