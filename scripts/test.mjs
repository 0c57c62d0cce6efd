// Runs the tests (`npm test`; options and files may follow `--`), and prints a line for each process, then what failed, with its
// diagnostics, at the end, where the log of a build is read first. The whole TAP is in build/results.tap.
//
// Most files share processes; those that are named have one each, unless `--together` is given.
//
// Up to three files that failed are run again, alone: a machine that was too busy for them is told from a fault. What passes only
// then is listed as unstable, by name; it does not fail the run.
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpuSeconds } from './cpu-time.mjs';
import { runTestFiles, settingsOf } from './run-test-files.mjs';

const FILES_RUN_AGAIN = 3;
/** So many of the files that take most CPU are told, of a run of more. */
const DEAREST_SHOWN = 20;
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

/**
 * Files that have a process of their own: they look at it or change it as a whole, or start programs and mostly wait for them, so that
 * others had better run beside them.
 */
const apart =
  /^build\/test\/((cli|curl|embedded-redis|logging|model|recipes|tls|workers)\/|[^/]*$|house\/loading|store\/redis\/cluster)/;
/** Files of a process that is shared: so many that to load the server once for them pays, so few that the last process is not alone for long. */
const SHARING = 10;

/** All test files, in the order in which they are run, in groups of those that share a process. */
function allGroups() {
  const tap = join(root, 'node_modules/.bin/tap');
  const files = execFileSync(tap, ['list'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
  const gone = longFirst.filter((file) => !files.includes(file));
  if (gone.length > 0) throw new Error(`scripts/test.mjs names files that are not there: ${gone.join(', ')}`);
  const others = files.filter((file) => !longFirst.includes(file));
  const sharing = others.filter((file) => !apart.test(file));
  const groups = Array.from({ length: Math.ceil(sharing.length / SHARING) }, (_, at) =>
    sharing.slice(at * SHARING, (at + 1) * SHARING),
  );
  return [...eachAlone(longFirst), ...groups, ...eachAlone(others.filter((file) => apart.test(file)))];
}

const eachAlone = (files) => files.map((file) => [file]);

/** How long it took, and how much CPU all processes used, where /proc tells it: what to look at when tests become slow. */
function used() {
  const minutes = `${(performance.now() / 60_000).toFixed(1)} min`;
  const cpu = cpuSeconds();
  return cpu === undefined ? ` in ${minutes}` : ` in ${minutes} with ${number(Math.round(cpu))} s of CPU`;
}

/** The files that take most, where to look first when tests become slow. */
function printDearest(cpuByFile) {
  if (cpuByFile.size <= DEAREST_SHOWN) return;
  const dearest = [...cpuByFile].sort(([, one], [, other]) => other - one).slice(0, DEAREST_SHOWN);
  console.log('\nMost CPU:');
  for (const [file, cpu] of dearest) console.log(`${cpu.toFixed(1).padStart(6)} s  ${file}`);
}

function printFailures(failures) {
  for (const { file, test, assertions } of failures) {
    console.log(`\nFAILED  ${file}\n        ${test}`);
    for (const { name, diag } of assertions) {
      console.log(`  not ok: ${name}`);
      if (diag) console.log(JSON.stringify(diag, shown, 2).replace(/^/gm, '    ').replaceAll('\\n', '\n      '));
    }
  }
}

/** What is open when time is over fills pages, and says less than the name of the test. */
const shown = (key, value) => (key === 'handles' || key === 'requests' ? undefined : value);

/** A line for each, last of all: the log of a build may be cut. */
function printNames(result, failures) {
  for (const { file, test, assertions } of failures) {
    const names = assertions.map(({ name }) => `: ${name.split('\n', 1)[0].slice(0, 200)}`);
    console.log(`${result.padEnd(9)} ${file}  ${test}${names.join('')}`);
  }
}

const { values, positionals } = parseArgs({
  options: {
    jobs: { type: 'string' },
    timeout: { type: 'string' },
    together: { type: 'boolean' },
    results: { type: 'string' },
  },
  allowPositionals: true,
});
const { jobs, timeout, nodeArgs } = settingsOf(root);
const settings = { jobs: Number(values.jobs ?? jobs), timeout: Number(values.timeout ?? timeout), nodeArgs };
const results = values.results ?? 'build/results.tap';
const named = values.together ? [positionals] : eachAlone(positionals);
const first = await runTestFiles(root, positionals.length > 0 ? named : allGroups(), { ...settings, results });
printDearest(first.cpuByFile);
printFailures(first.failures);
for (const { file, test, reason } of first.skipped) console.log(`SKIPPED   ${file}  ${test}: ${reason}`);
const failedFiles = [...new Set(first.failures.map(({ file }) => file))];
const count = `${number(first.tests)} tests in ${number(first.files)} files (${number(first.assertions)} assertions)${used()}`;
if (failedFiles.length === 0) {
  console.log(`\n${count}, all passed`);
} else if (failedFiles.length > FILES_RUN_AGAIN) {
  console.log(`\n${count}, ${number(first.failures.length)} failed in ${number(failedFiles.length)} files`);
  printNames('FAILED', first.failures);
  process.exitCode = 1;
} else {
  console.log(`\nRunning again, alone: ${failedFiles.join(' ')}`);
  const again = await runTestFiles(root, eachAlone(failedFiles), {
    ...settings,
    jobs: 1,
    results: results.replace('.tap', '-again.tap'),
  });
  printFailures(again.failures);
  const fails = (test) => again.failures.some((other) => other.file === test.file && other.test === test.test);
  const hasPassed = again.failures.length === 0;
  const unstable = first.failures.filter((test) => hasPassed || !fails(test));
  console.log(`\n${count}, ${hasPassed ? 'all passed at last' : `${number(again.failures.length)} failed twice`}`);
  printNames('FAILED', again.failures);
  printNames('UNSTABLE', unstable);
  process.exitCode = hasPassed ? 0 : 1;
}
