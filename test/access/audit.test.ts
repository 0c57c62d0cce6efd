// The audit log: who asked for what and whether it was allowed; rotation; and the bound that keeps it from stopping requests.
import { execFileSync } from 'node:child_process';
import { createReadStream, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { pino } from 'pino';
import t from 'tap';
import { AuditLog, type Decision } from '../../src/access/audit-log.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import { writePolicy } from '../helpers/access.ts';
import { startServerProcess } from '../helpers/process.ts';
import { eventually, http, metric, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const rules = `
allow:
  - who: admin
    admin: true
  - who: billing
    nodes: { "/app/**": [read, write, delete] }
    topics: { "billing.*": [read, write, manage] }
`;
const silent = pino({ level: 'silent' });

function linesOf(file: string): Record<string, unknown>[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

const decision: Decision = {
  identity: 'billing',
  tokenId: 't',
  verb: 'read',
  resource: 'node /x',
  code: 'FORBIDDEN',
  origin: { ip: '192.0.2.1', id: 'r', method: 'GET', routeOptions: { url: '/v1/nodes/*' } },
};

t.test('refusals and administration are told, and with WEIR_AUDIT_WRITES what is written', async (t) => {
  const policy = await writePolicy(t, ['admin', 'billing'], `public: [metrics]\n${rules.trimStart()}`);
  const folder = temporaryFolder(t);
  const few = `${folder}/few`;
  const all = `${folder}/all`;
  const server = await startTestServer(t, { accessFile: policy.file, auditFile: few });
  const full = await startTestServer(t, { accessFile: policy.file, auditFile: all, auditWrites: true }, server.target);
  const token = policy.tokens.billing!.token;
  const secret = 'the-value-of-a-record';
  for (const { url } of [server, full]) {
    const as = (identity: string) => (method: string, path: string, body?: unknown) =>
      http(`${url}${path}`, method, body, policy.as(identity));
    const [admin, billing] = [as('admin'), as('billing')];
    await http(`${url}/v1/nodes/anonymous`);
    await http(`${url}/v1/cluster`, 'GET', undefined, { authorization: `Bearer ${token.slice(0, -3)}xyz` });
    await billing('GET', '/v1/nodes/secret', undefined);
    await billing('GET', '/v1/nodes/app');
    await billing('PUT', '/v1/nodes/app', secret);
    await billing('POST', '/v1/topics', { name: 'billing.a' });
    await billing('POST', '/v1/topics/billing.a/records', { records: [{ value: secret }] });
    await admin('POST', '/v1/elections', { topic: 'billing.a' });
    await billing('POST', '/v1/elections', { topic: 'billing.a' });
    const { body: session } = await billing('POST', '/v1/sessions', {});
    await admin('DELETE', `/v1/sessions/${session.id}?force=true`);
    const socket = await openSocket(t, `${url}/v1/socket`, policy.as('billing'));
    socket.send({ op: 'get', id: 1, path: '/secret' });
    await eventually(() => socket.frames.length > 0, 'the refusal on the socket');
    await billing('DELETE', '/v1/nodes/app');
  }
  await Promise.all([server, full].map((one) => one.broker.access.audit?.close()));
  const short = (lines: Record<string, unknown>[]) =>
    lines.map(({ identity, verb, resource, result }) => `${identity} ${verb} ${resource} ${result}`);
  const told = linesOf(few);
  t.same(short(told), [
    'null read node /anonymous denied',
    'null authenticate GET /v1/cluster denied',
    'billing read node /secret denied',
    'billing manage topic billing.a allowed',
    'admin admin POST /v1/elections allowed',
    'billing admin POST /v1/elections denied',
    `admin admin session ${String(told[6]?.resource).replace('session ', '')} allowed`,
    'billing read node /secret denied',
  ]);
  t.match(told[2], {
    log: 'audit',
    token: 't-billing',
    address: '127.0.0.1',
    code: 'FORBIDDEN',
    requestId: /^[0-9a-f-]{36}$/,
  });
  t.match(told[1], { code: 'AUTH_REQUIRED', reason: /The token t-billing is not valid/ });
  t.ok(Date.parse(String(told[0]?.time)) > 0);
  const written = short(linesOf(all));
  for (const line of [
    'billing write node /app allowed',
    'billing write topic billing.a allowed',
    'billing delete node /app allowed',
  ]) {
    t.ok(written.includes(line), line);
  }
  for (const file of [few, all]) {
    const text = readFileSync(file, 'utf8');
    for (const value of [secret, token, token.slice(-20), `${token.slice(0, -3)}xyz`]) t.notOk(text.includes(value));
  }
  t.equal(await metric(server, 'weir_audit_lines_total'), told.length);
  t.equal(await metric(server, 'weir_audit_lines_dropped_total'), 0);
});

t.test('after a rotation and SIGHUP the new file is written', async (t) => {
  const policy = await writePolicy(t, ['billing'], rules.replace('admin', 'billing'));
  const folder = temporaryFolder(t);
  const file = `${folder}/audit`;
  const env = { WEIR_ACCESS_FILE: policy.file, WEIR_AUDIT_FILE: file, WEIR_DATA_DIR: `${folder}/data` };
  const server = await startServerProcess(t, env);
  const refused = () => http(`${server.url}/v1/nodes/x`);
  await refused();
  await eventually(() => linesOf(file).length === 1, 'the line is in the file');
  renameSync(file, `${file}.1`);
  server.child.kill('SIGHUP');
  await eventually(async () => {
    await refused();
    try {
      return linesOf(file).length > 0;
    } catch {
      return false;
    }
  }, 'a line is in the new file');
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);
});

t.test('a queue that is full drops lines and counts them, and requests do not wait', async (t) => {
  const policy = await writePolicy(
    t,
    ['billing'],
    `public: [metrics]\n${rules.replace('admin', 'billing').trimStart()}`,
  );
  const pipe = `${temporaryFolder(t)}/pipe`;
  execFileSync('mkfifo', [pipe]);
  // Nobody reads the pipe, so it cannot even be opened.
  const audit = await AuditLog.open({ file: pipe, writes: false, queueMax: 2000 }, silent);
  for (let i = 0; i < 100; i += 1) audit.record({ ...decision, resource: `node /${i}` });
  t.ok(audit.dropped > 80, `${audit.dropped} lines were dropped`);
  t.equal(audit.written + audit.dropped, 100);
  let text = '';
  createReadStream(pipe).on('data', (piece) => {
    text += String(piece);
  });
  await eventually(() => text.split('\n').length - 1 === audit.written, 'what was queued is written once it can be');
  await audit.close();

  const other = `${temporaryFolder(t)}/pipe`;
  execFileSync('mkfifo', [other]);
  const server = await startTestServer(t, { accessFile: policy.file, auditFile: other });
  const answers = await Promise.all(Array.from({ length: 50 }, () => http(`${server.url}/v1/nodes/x`)));
  t.ok(answers.every(({ status }) => status === 401));
  t.equal(await metric(server, 'weir_audit_lines_total'), 50, 'they wait in the queue');
  createReadStream(other).resume();
});

t.test('a resource is shortened, and nothing in it makes a second line', async (t) => {
  const file = `${temporaryFolder(t)}/audit`;
  const audit = await AuditLog.open({ file, writes: false }, silent);
  audit.record({ ...decision, resource: `node /${'x'.repeat(16_000)}` });
  audit.record({ ...decision, resource: 'node /a\n{"identity":"admin"}', identity: 'a"b' });
  await audit.close();
  const [long, second, ...more] = linesOf(file);
  t.equal(String(long?.resource).length, 1001);
  t.match(second, { resource: 'node /a\n{"identity":"admin"}', identity: 'a"b' });
  t.same(more, []);
});

t.test('a file that cannot be opened keeps the server from starting', async (t) => {
  const policy = await writePolicy(t, ['billing'], rules.replace('admin', 'billing'));
  const folder = temporaryFolder(t);
  mkdirSync(`${folder}/folder`);
  for (const auditFile of [`${folder}/none/audit`, `${folder}/folder`]) {
    await t.rejects(startTestServer(t, { accessFile: policy.file, auditFile }), {
      message: /WEIR_AUDIT_FILE is .*cannot be opened: (ENOENT|EISDIR)/,
    });
  }
});
