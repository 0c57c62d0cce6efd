// Which web pages may use the service, and what the error tells the others: most of those are the user's own, behind a proxy.
import { pino } from 'pino';
import t from 'tap';
import { startServer } from '../../../src/server.ts';
import { rawRequest } from '../../helpers/raw-connection.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { http, testConfig } from '../../helpers/server.ts';

const lines: { origin?: string; msg: string }[] = [];
const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
const { socketPath } = await startTestRedis(t);
const server = await startServer({ ...testConfig, corsOrigins: ['https://good.example'] }, { socketPath }, log);
t.teardown(() => server.close());
const { url } = server;

const ask = (...headers: string[]) => rawRequest(t, url, ['GET /v1/nodes/?view=stat HTTP/1.1', ...headers]);

t.test('a page of another origin is refused, with the setting that would allow it', async (t) => {
  const cases: [headers: string[], said: RegExp][] = [
    [
      ['Origin: https://app.example', 'Sec-Fetch-Site: same-origin'],
      /Host is 127\.0\.0\.1:\d+: a proxy between has replaced it; have it pass Host on .*Else WEIR_CORS_ORIGINS/,
    ],
    [
      ['Origin: https://app.example'],
      /If a proxy serves both as one origin, have it pass Host on .*; else WEIR_CORS_ORIGINS=https:\/\/app\.example/,
    ],
    [
      ['Origin: https://evil.example', 'Sec-Fetch-Site: cross-site'],
      /may not use this service, which was asked as [^;]*; WEIR_CORS_ORIGINS=/,
    ],
    [['Origin: null'], /Pages of null/],
  ];
  for (const [headers, said] of cases) {
    const { status, body } = await ask(...headers);
    t.match({ status, body }, { status: 403, body: said }, headers.join());
  }
  t.equal((await ask('Origin: https://good.example', 'Sec-Fetch-Site: cross-site')).status, 200);
  t.equal(
    (await ask('Host: LOCALHOST:1', 'Origin: http://localhost:1')).status,
    200,
    'its own one, however Host is spelt',
  );
});

t.test('a foreign origin is counted, and logged once with the remedy, in bounded memory', async (t) => {
  t.match((await http(`${url}/metrics`)).body, /weir_origins_refused_total 4/);
  const about = () => lines.filter(({ origin }) => origin !== undefined);
  t.same(
    about().map(({ origin }) => origin),
    ['https://app.example', 'https://evil.example', 'null'],
  );
  t.match(about()[0]!.msg, /WEIR_CORS_ORIGINS can allow it; .*pass Host on/);
  for (let i = 0; i < 150; i++) await ask(`Origin: https://evil-${i}.example`);
  t.equal(about().length, 100);
  t.match(about().at(-1)!.msg, /further values are not logged/);
});
