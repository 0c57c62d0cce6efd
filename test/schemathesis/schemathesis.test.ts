// Schemathesis makes requests from openapi.yaml, valid ones and others, and looks at the responses (npm run check:schemathesis): none is
// a failure of the server, and each is documented, with its status, type, headers and schema. Where it cannot be installed it is not
// tried, and the output says so.
import { join } from 'node:path';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { pythonPrograms, run } from '../generated/tools.ts';
import { startTestServer } from '../helpers/server.ts';

const checks = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
];
/** They do not end, or change to another protocol. */
const endless = ['watch.stream', 'stats.stream', 'records.stream', 'watch.socket', 'groups.socket', 'socket'];
const hooks = join(projectRoot(), 'test/schemathesis/hooks.py');
const seconds = Number(process.env.WEIR_SCHEMATHESIS_SECONDS ?? 90);

t.test('requests of any kind get documented responses, and never a failure of the server', async (t) => {
  const python = await pythonPrograms('schemathesis==4.32.5');
  if ('missing' in python) return t.pass(`not tried on this machine: ${python.missing}`);
  const { url } = await startTestServer(t);
  const args = ['run', join(projectRoot(), 'openapi.yaml'), '--url', url, '--checks', checks.join(',')];
  const bounds = ['--max-time', String(seconds), '--phases', 'examples,coverage,fuzzing', '--request-timeout', '20'];
  const rest = ['--no-color', '--suppress-health-check', 'all', '--warnings', 'off', '--max-failures', '40'];
  const excluded = endless.flatMap((id) => ['--exclude-operation-id', id]);
  const printed = await run(join(python.found, 'st'), [...args, ...bounds, ...rest, ...excluded], {
    // It writes what it remembers into its working folder.
    cwd: t.testdir(),
    env: { SCHEMATHESIS_HOOKS: hooks },
    timeout: (seconds + 240) * 1000,
  });
  t.match(printed, /No issues found|passed/);
});
