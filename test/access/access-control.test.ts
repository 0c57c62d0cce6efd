import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import t from 'tap';
import { AccessControl } from '../../src/access/access-control.ts';

t.test('each time that the file cannot be taken is told once, also if it was good in between', async (t) => {
  const file = join(t.testdir(), 'policy.yaml');
  writeFileSync(file, 'public: [docs]\n');
  const lines: { level: number; msg: string }[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const control = await AccessControl.load(file, log);
  t.teardown(() => control.close());
  const { policy } = control;
  for (const times of [1, 2]) {
    renameSync(file, `${file}.away`);
    await control.reload();
    await control.reload();
    t.equal(control.errors, times);
    t.equal(lines.length, times);
    renameSync(`${file}.away`, file);
    await control.reload();
  }
  writeFileSync(file, 'pubic: [docs]\n');
  await control.reload();
  await control.reload();
  t.equal(control.errors, 3, 'a file that is not valid is told once');
  t.equal(control.policy, policy, 'the policy in use stays');
  await t.rejects(AccessControl.load(file, log), { message: `The policy ${file} is not valid: line 1: unknown field` });
});
