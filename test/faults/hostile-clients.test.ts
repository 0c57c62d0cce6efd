// Guarantee E6: one client cannot stop the others. While hostile clients (hostile-attacks.ts) attack from other addresses, no
// request of honest ones (honest-clients.ts) fails, and no session, lock or record is lost. Then the attacks come from the address
// of the honest clients: there only requests with reserved capacity must succeed. The longest waits are printed; the aim is 1 s.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { startServerProcess } from '../helpers/process.ts';
import { type Account, HonestClients, reservedKinds } from './honest-clients.ts';
import { attacks } from './hostile-attacks.ts';

const program = fileURLToPath(new URL('./hostile-attacks.js', import.meta.url));
const honest = '127.0.0.1';
const others = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];
/** The duration of each attack; `npm run test:faults` runs the long version. */
const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 0) >= 60 ? 20 : 5;
/** The names of some attacks, with commas between them. */
const chosen = process.env.WEIR_ATTACK?.split(',') ?? Object.keys(attacks);

t.setTimeout(1_800_000);

function attack(url: string, name: string, addresses: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [program, url, name, String(seconds), ...addresses], (error, stdout, stderr) => {
      if (error) reject(new Error(`${name}: ${stderr}`));
      else resolve(stdout);
    });
  });
}

async function underAttack(t: Test, addresses: string[], mustHold: (kind: string) => boolean): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-hostile-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const server = await startServerProcess(t, { WEIR_DATA_DIR: dataDir, WEIR_LOG_LEVEL: 'info' });
  t.teardown(async () => {
    server.child.kill('SIGTERM');
    await server.exited;
  });
  const clients = new HonestClients(server.url, honest);
  t.teardown(() => clients.stop());
  await clients.start();
  for (const name of chosen) {
    clients.take();
    const responses = await attack(server.url, name, addresses);
    const accounts = clients.take();
    t.comment(`${name}: the attacker was given ${responses}; honest waits ${waitsOf(accounts)}`);
    for (const [kind, { failures, requests }] of accounts) {
      if (mustHold(kind)) t.same(failures, [], `${name}: none of ${requests} requests of the kind ${kind} fails`);
    }
  }
  await clients.finish(t);
}

function waitsOf(accounts: Map<string, Account>): string {
  return [...accounts].map(([kind, { longestMs }]) => `${kind} ${Math.round(longestMs)} ms`).join(', ');
}

t.test('hostile clients at other addresses make no honest request fail', async (t) => {
  await underAttack(t, others, () => true);
});

t.test('hostile clients at the same address do not block requests with reserved capacity', async (t) => {
  await underAttack(t, [honest], (kind) => reservedKinds.includes(kind));
});
