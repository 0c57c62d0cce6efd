// The Helm chart: what it makes of values, and which it refuses.
import { join } from 'node:path';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { deployFolder, needing, run } from './tools.ts';

const chart = join(deployFolder, 'helm/weirkeeper');
const withHelm = needing('helm', 'with Go: go install helm.sh/helm/v3/cmd/helm@latest');

const policy = 'access.policy=identities: {}';
const cases: Record<string, string[]> = {
  'one server with its private Redis': ['--set', policy],
  'brokers over a shared Redis, with all that is optional': [
    '--set',
    'redis.url=redis://:secret@redis:6379/0,access.existingSecret=policy,tls.secretName=tls,tls.clientCa=true',
    '--set',
    'replicas=3,workers=2,serviceMonitor.enabled=true,serviceMonitor.bearerTokenSecret.name=token',
    '--set',
    'allowedHosts={weir.example},env.WEIR_LOG_LEVEL=debug,nodeSelector.disk=ssd,podLabels.team=a',
  ],
  'without a policy, on purpose': ['--set', 'access.insecure=true,podDisruptionBudget.enabled=false'],
};

/** The resources that the chart makes of values, by kind. */
function resources(values: readonly string[]): Record<string, any> {
  const { status, text, stdout } = run('helm', ['template', '--kube-version=1.30.0', 'main', chart, ...values]);
  if (status !== 0) throw new Error(text);
  const all = parseAllDocuments(stdout).flatMap((document) => document.toJS() ?? []);
  return Object.fromEntries(all.map((resource) => [resource.kind, resource]));
}

t.test('helm finds nothing to criticise', withHelm, async (t) => {
  for (const [name, values] of Object.entries(cases)) {
    const { status, text } = run('helm', ['lint', '--strict', chart, ...values]);
    t.equal(status, 0, `${name}: ${text}`);
  }
});

t.test('without a URL of Redis there is one server with a volume', withHelm, async (t) => {
  const made = resources(cases['one server with its private Redis']!);
  t.same(Object.keys(made).sort(), ['Secret', 'Service', 'ServiceAccount', 'StatefulSet']);
  t.equal(made.StatefulSet.spec.replicas, 1);
  const { spec } = made.StatefulSet.spec.template;
  t.equal(spec.enableServiceLinks, false);
  const [{ env, volumeMounts, readinessProbe }] = spec.containers;
  t.match(env, [{ name: 'POD_IP' }]);
  t.ok(env.some(({ name, value }: any) => name === 'WEIR_DATA_DIR' && value === '/data/weirkeeper'));
  t.ok(volumeMounts.some(({ name }: any) => name === 'data'));
  t.match(readinessProbe, { httpGet: { path: '/health/ready', scheme: 'HTTP' } });
  t.match(made.Secret.stringData, { 'policy.yaml': /identities/ });
});

t.test(
  'with a URL of Redis there are brokers, a budget of disruptions, and what else was asked for',
  withHelm,
  async (t) => {
    const made = resources(cases['brokers over a shared Redis, with all that is optional']!);
    const kinds = ['Deployment', 'PodDisruptionBudget', 'Secret', 'Service', 'ServiceAccount', 'ServiceMonitor'];
    t.same(Object.keys(made).sort(), kinds);
    t.equal(made.Deployment.spec.replicas, 3);
    const { spec } = made.Deployment.spec.template;
    t.equal(spec.enableServiceLinks, false);
    const [{ env, livenessProbe }] = spec.containers;
    const values = Object.fromEntries(env.map(({ name, value }: any) => [name, value]));
    t.match(values, {
      WEIR_ACCESS_FILE: '/etc/weirkeeper/access/policy.yaml',
      WEIR_ADVERTISED_URL: 'https://$(POD_IP):7070',
      WEIR_ALLOWED_HOSTS:
        'main-weirkeeper,main-weirkeeper.default,.default.svc,.default.svc.cluster.local,weir.example',
      WEIR_LOG_LEVEL: 'debug',
      WEIR_REDIS_URL_FILE: '/etc/weirkeeper/redis/url',
      WEIR_TLS_CLIENT_CA: '/etc/weirkeeper/tls/ca.crt',
      WEIR_WORKERS: '2',
    });
    t.notOk(JSON.stringify(spec).includes('secret@'), 'the password of Redis is in the Secret alone');
    t.match(livenessProbe, { httpGet: { scheme: 'HTTPS' } });
    t.same(made.PodDisruptionBudget.spec.selector, made.Deployment.spec.selector);
    t.match(made.ServiceMonitor.spec.endpoints, [
      { scheme: 'https', authorization: { credentials: { name: 'token' } } },
    ]);
  },
);

t.test('values that cannot be right are refused, with what to do', withHelm, async (t) => {
  const refused: [string[], RegExp][] = [
    [[], /Say who may do what: set access\.policy/],
    [['--set', `${policy},access.existingSecret=x`], /are both set; leave one of them out/],
    [['--set', `${policy},tls.clientCa=true`], /without tls\.secretName/],
    [['--set', `${policy},redis.url=http://redis`], /redis\.url|redis\/url|pattern/],
    [['--set', `${policy},replica=3`], /[Aa]dditional propert/],
    [['--set', `${policy},workers=0`], /workers/],
    [['--set', `${policy},env.PATH=x`], /PATH/],
  ];
  for (const [values, reason] of refused) {
    const { status, text } = run('helm', ['template', '--kube-version=1.30.0', 'main', chart, ...values]);
    t.not(status, 0, values.join(' '));
    t.match(text, reason);
  }
});
