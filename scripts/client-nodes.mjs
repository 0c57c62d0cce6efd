// Runs the tests of the client with other versions of Node.js, which the npm package `node` brings: `npm run test:client:nodes`, or
// `npm run test:client:nodes -- 22`. The tests are compiled already.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const given = process.argv.slice(2);
const versions = given.length > 0 ? given : ['20', '22', '24'];
const folder = join(root, 'build/client/test');
const tests = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
let failures = 0;
for (const version of versions) {
  for (const test of tests) {
    const file = join(folder, test);
    const args = ['--yes', `--package=node@${version}`, '--', 'node', file];
    const env = { ...process.env, TAP_TIMEOUT: '300' };
    const { status, stdout, stderr } = spawnSync('npx', args, { cwd: root, env, encoding: 'utf8', maxBuffer: 2 ** 28 });
    console.log(`Node.js ${version}: ${test} ${status === 0 ? 'passed' : 'failed'}`);
    if (status === 0) continue;
    failures += 1;
    console.error(`${stdout}${stderr}`);
  }
}
process.exitCode = failures === 0 ? 0 : 1;
