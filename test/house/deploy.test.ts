// What is in deploy/ and what the documents and the server say of it. Programs that read it test the rest: test/deploy.
import t from 'tap';
import { parse } from 'yaml';
import { options } from '../../src/config/options.ts';
import { filesBelow, read } from './repository.ts';

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; runbook: string };
}
const rules: Rule[] = parse(read('deploy/prometheus/alerts.yaml')).groups.flatMap((group: any) => group.rules);

t.test('each alert is in the table of alerts, with the entry of the runbook that it names', async (t) => {
  const page = read('docs/operations.md');
  const table = [...page.matchAll(/^\| `(Weirkeeper\w+)` \| .* \| \[[^\]]+\]\((\S+)\) \|$/gm)].map(
    ([, alert, link]) => [alert, link?.startsWith('#') ? `docs/operations.md${link}` : `docs/${link}`],
  );
  t.same(
    table,
    rules.map(({ alert, annotations }) => [alert, annotations.runbook]),
  );
  const entries = [...page.matchAll(/^### (.*)\n\n\*Symptom:\*[\s\S]*?\n\n\*Meaning:\*[\s\S]*?\n\n\*Do:\*/gm)];
  const anchors = entries.map(([, title = '']) => `docs/operations.md#${title.toLowerCase().replaceAll(' ', '-')}`);
  t.same(
    rules.filter(
      ({ annotations: { runbook } }) => !anchors.includes(runbook) && runbook !== 'docs/security.md#audit-log',
    ),
    [],
    'each entry says what it means and what to do',
  );
  t.same(
    rules.filter(
      ({ labels, annotations }) => !/^(critical|warning|info)$/.test(labels.severity) || !annotations.summary,
    ),
    [],
  );
});

t.test('deployments use options that the server has', async (t) => {
  const known = Object.values(options).flatMap(({ variable }) => [variable, `${variable}_FILE`]);
  const files = ['compose.yaml', 'Dockerfile', ...filesBelow('deploy')];
  const named = files.flatMap((file) =>
    [...read(file).matchAll(/\bWEIR_[A-Z0-9_]+\b/g)].map(([name]) => ({ file, name: name as string })),
  );
  t.ok(named.length > 30);
  t.same(
    named.filter(({ name }) => !known.includes(name)),
    [],
  );
});

t.test('the chart is of the same version as the program, and so is its image', async (t) => {
  const { version } = JSON.parse(read('package.json'));
  const chart = parse(read('deploy/helm/weirkeeper/Chart.yaml'));
  t.same([chart.version, chart.appVersion], [version, version]);
  t.match(read('deploy/README.md'), `weirkeeper-${version}.tgz`);
  const values = Object.keys(parse(read('deploy/helm/weirkeeper/values.yaml')));
  const schema = Object.keys(JSON.parse(read('deploy/helm/weirkeeper/values.schema.json')).properties);
  t.same(
    values.filter((name) => !schema.includes(name)),
    [],
  );
});
