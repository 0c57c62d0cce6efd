// Runs the tests (`npm test`; options and files may follow `--`), and prints a line for each file, then what failed, with its
// diagnostics, at the end, where the log of a build is read first. The whole TAP is in build/results.tap.
//
// Up to three files that failed are run again, alone: a machine that was too busy for them is told from a fault. What passes only
// then is listed as unstable, by name; it does not fail the run.
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runTestFiles, settingsOf } from './run-test-files.mjs';

const FILES_RUN_AGAIN = 3;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const number = (value) => value.toLocaleString('en');

/** They take longest, for the processes that they start and the ends of sessions that they wait for: begun last, they would end alone. */
const longFirst = [
  'cli/examples',
  'workers/worker-starts',
  'workers/worker-stops',
  'cli/guard',
  'http/plugins/admission',
  'ws/pipeline/events-first',
  'curl/curl',
  'cli/logs',
  'cli/frame',
  'workers/server-metrics',
  'tls/reload',
  'workers/workers',
  'broker/metadata/cluster',
  'http/access',
  'main',
  'start',
  'cli/demo',
  'store/redis/cluster-topology',
].map((name) => `build/test/${name}.test.js`);

/** All test files, in the order in which they are run. */
function allFiles() {
  const tap = join(root, 'node_modules/.bin/tap');
  const files = execFileSync(tap, ['list'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
  const gone = longFirst.filter((file) => !files.includes(file));
  if (gone.length > 0) throw new Error(`scripts/test.mjs names files that are not there: ${gone.join(', ')}`);
  return [...longFirst, ...files.filter((file) => !longFirst.includes(file))];
}

function printFailures(failures) {
  for (const { file, test, assertions } of failures) {
    console.log(`\nFAILED  ${file}\n        ${test}`);
    for (const { name, diag } of assertions) {
      console.log(`  not ok: ${name}`);
      if (diag) console.log(JSON.stringify(diag, null, 2).replace(/^/gm, '    ').replaceAll('\\n', '\n      '));
    }
  }
}

const { values, positionals } = parseArgs({
  options: { jobs: { type: 'string' }, timeout: { type: 'string' } },
  allowPositionals: true,
});
const { jobs, timeout, nodeArgs } = settingsOf(root);
const settings = { jobs: Number(values.jobs ?? jobs), timeout: Number(values.timeout ?? timeout), nodeArgs };
const files = positionals.length > 0 ? positionals : allFiles();
const first = await runTestFiles(root, files, { ...settings, results: 'build/results.tap' });
printFailures(first.failures);
const failedFiles = [...new Set(first.failures.map(({ file }) => file))];
const count = `${number(first.tests)} tests in ${number(first.files)} files (${number(first.assertions)} assertions)`;
if (failedFiles.length === 0) {
  console.log(`\n${count}, all passed`);
} else if (failedFiles.length > FILES_RUN_AGAIN) {
  console.log(`\n${count}, ${number(first.failures.length)} failed in ${number(failedFiles.length)} files`);
  process.exitCode = 1;
} else {
  console.log(`\nRunning again, alone: ${failedFiles.join(' ')}`);
  const again = await runTestFiles(root, failedFiles, { ...settings, jobs: 1, results: 'build/results-again.tap' });
  printFailures(again.failures);
  const fails = (test) => again.failures.some((other) => other.file === test.file && other.test === test.test);
  const hasPassed = again.failures.length === 0;
  const unstable = first.failures.filter((test) => hasPassed || !fails(test));
  console.log(`\n${count}, ${hasPassed ? 'all passed at last' : `${number(again.failures.length)} failed twice`}`);
  for (const { file, test } of unstable) console.log(`UNSTABLE  ${file}  ${test}`);
  process.exitCode = hasPassed ? 0 : 1;
}
