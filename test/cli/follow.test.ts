// Commands that go on: they outlive the connection and the broker, and say so.
import t from 'tap';
import { TestCli } from '../helpers/cli.ts';
import { startFaultyNetwork } from '../helpers/faulty-network.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

t.test('a command that follows tells of a lost connection, and goes on with another broker', async (t) => {
  const server = await startTestServer(t);
  const other = await startTestServer(t, {}, server.target);
  const network = await startFaultyNetwork(t, server.url);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'clicks' });
  await http(`${server.url}/v1/nodes/app`, 'PUT', '');
  const cli = new TestCli(t, network.url);
  const early = cli.start(['consume', '-g', 'early', 'later']);
  await http(`${server.url}/v1/groups/full/members`, 'POST', { memberId: 'owner', topics: ['clicks'] });
  const second = cli.start(['consume', '-g', 'full', 'clicks']);
  const lines = ['watch /app -r', 'consume clicks', 'consume -g g clicks', 'top -o ndjson', 'node tree /app --live'];
  const begun = ['Watching', '', 'Assigned: clicks', '', ''];
  const commands = lines.map((line) => ({ line, ...cli.start(line.split(' ')) }));
  for (const [at, { line, output }] of commands.entries()) {
    await eventually(() => output.stderr.includes(begun[at] ?? ''), `${line} has begun`);
  }
  const printed = (line: string) => commands.find((each) => each.line === line)?.output.stdout ?? '';
  for (const line of ['top -o ndjson', 'node tree /app --live'])
    await eventually(() => printed(line) !== '', `${line} prints`);
  // Without a group there is no other sign that it has begun than a record.
  await eventually(async () => {
    await http(`${server.url}/v1/topics/clicks/records`, 'POST', { records: [{ value: 'before' }] });
    return printed('consume clicks').includes('before');
  }, 'records come');
  await eventually(
    () => /^Topic later does not exist yet; /m.test(early.output.stderr),
    'a member tells what it waits for',
  );
  await eventually(
    () => /^Assigned: no partitions\nOther members of group full have all partitions; /m.test(second.output.stderr),
    'a member without partitions tells who has them',
  );
  for (const { child } of [early, second]) child.kill('SIGINT');
  for (const { exited } of [early, second]) t.equal((await exited).code, 0);
  network.redirect(other.url);
  for (const { line, output } of commands) {
    await eventually(() => output.stderr.includes('was lost ('), `${line} tells of the loss`);
    await eventually(() => output.stderr.includes('Connected again'), `${line} tells that it goes on`);
  }
  await http(`${server.url}/v1/nodes/app/after`, 'PUT', '');
  await http(`${server.url}/v1/topics/clicks/records`, 'POST', { records: [{ value: 'after' }] });
  for (const line of lines.slice(0, 3))
    await eventually(() => printed(line).includes('after'), `${line} misses nothing`);
  await eventually(() => printed('node tree /app --live').includes('after'), 'the tree is drawn again');
  for (const { child, exited, line, output } of commands) {
    const losses = output.stderr.split('was lost').length;
    child.kill('SIGINT');
    const { code, stderr } = await exited;
    t.equal(code, 0, line);
    t.equal(stderr.split('was lost').length, losses, `${line}: its end is no loss\n${stderr}`);
  }
});

t.test('a command that follows ends at once if no server is there at the beginning', async (t) => {
  const cli = new TestCli(t, 'http://127.0.0.1:1');
  const lines = ['watch /', 'consume clicks', 'consume -g g clicks', 'top', 'node get / --watch'];
  const results = await Promise.all(lines.map((line) => cli.run(line.split(' '))));
  for (const [at, { code, stderr }] of results.entries()) {
    t.equal(code, 5, `${lines[at]}`);
    t.match(stderr, /^http:\/\/127\.0\.0\.1:1 does not respond/, `${lines[at]}`);
  }
});
