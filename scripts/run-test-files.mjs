// Runs test files, some at a time, each in a process of its own, and reads their TAP. The command `tap` does this, too, but what it loads
// into each process, for mocks and for coverage of its own, takes as much CPU as a server with all its packages.
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Parser } from 'tap-parser';
import { parse } from 'yaml';

/** From the end of a file's time to SIGKILL. */
const killMs = 10_000;

const running = new Set();
// A run that is ended leaves no test behind, nor what the test has started.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    for (const child of running) child.kill('SIGTERM');
    process.exit(1);
  });
}

/**
 * @typedef {{file: string, test: string, assertions: object[]}} Failure
 * @typedef {{files: number, tests: number, assertions: number, failures: Failure[]}} Summary `tests` are subtests without subtests of
 * their own: tap itself counts assertions, of which one test may have one or thousands
 */

/** What .taprc says of the processes, for the command `tap` as well. */
export function settingsOf(root) {
  const { jobs, timeout, 'node-arg': nodeArgs } = parse(readFileSync(join(root, '.taprc'), 'utf8'));
  return { jobs, timeout, nodeArgs };
}

/**
 * Runs files in the order given, and prints a line for each.
 * @param {string} root of the repository
 * @param {readonly string[]} files
 * @param {{jobs: number, timeout: number, nodeArgs: string[], results: string}} settings timeout in s; `results` names the file that gets
 * the TAP of all
 * @returns {Promise<Summary>}
 */
export async function runTestFiles(root, files, { jobs, timeout, nodeArgs, results }) {
  const summary = { files: 0, tests: 0, assertions: 0, failures: [] };
  const waiting = [...files];
  const output = createWriteStream(join(root, results));
  output.write('TAP version 14\n');
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const startedAt = performance.now();
      const { tap, end } = await runFile(root, file, { timeout, nodeArgs, summary });
      const seconds = (performance.now() - startedAt) / 1000;
      summary.files += 1;
      const isOk = !summary.failures.some((failure) => failure.file === file);
      console.log(`${isOk ? 'ok    ' : 'FAILED'} ${seconds.toFixed(1).padStart(6)} s  ${file}`);
      output.write(`# Subtest: ${file}\n${tap.replace(/^(?=.)/gm, '    ')}`);
      output.write(`${isOk ? 'ok' : 'not ok'} ${summary.files} - ${file} # time=${seconds}s ${end}\n`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  output.end(`1..${summary.files}\n`);
  return summary;
}

/** Runs one file to its end. @returns its TAP, and how the process ended */
async function runFile(root, file, { timeout, nodeArgs, summary }) {
  const child = spawn(process.execPath, ['--enable-source-maps', ...nodeArgs, file], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(timeout), FORCE_COLOR: '0' },
  });
  running.add(child);
  let tap = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    tap += text;
  });
  const parser = new Parser();
  readTest(parser, file, [], summary);
  const completed = new Promise((resolve) => parser.once('complete', resolve));
  child.stdout.pipe(parser);
  let isLate = false;
  const kill = setTimeout(() => child.kill('SIGKILL'), timeout * 1000 + killMs);
  const late = setTimeout(() => {
    isLate = true;
    child.kill('SIGTERM');
  }, timeout * 1000);
  const code = await new Promise((resolve) => child.once('close', (exit, signal) => resolve(signal ?? exit)));
  running.delete(child);
  clearTimeout(late);
  clearTimeout(kill);
  const { ok, count } = await completed;
  const end = isLate ? `ended after ${timeout} s` : `exit ${code}`;
  const isTold = summary.failures.some((failure) => failure.file === file);
  // It ended early, ran out of time, or left a test without an end.
  if ((!ok || code !== 0 || count === 0) && !isTold) {
    summary.failures.push({
      file,
      test: 'the file itself',
      assertions: [{ name: end, diag: { tail: tap.slice(-2000) } }],
    });
  }
  return { tap, end };
}

/** Counts the tests of a file or a test, and keeps the assertions that failed. */
function readTest(parser, file, names, summary) {
  let hasTests = false;
  const subtests = new Set();
  const failed = [];
  let assertions = 0;
  parser.on('child', (child) => {
    hasTests = true;
    subtests.add(child.name);
    readTest(child, file, [...names, child.name], summary);
  });
  parser.on('assert', (result) => {
    // The result of a subtest repeats what its own assertions say.
    if (subtests.has(result.name)) return;
    assertions += 1;
    if (!result.ok) failed.push(result);
  });
  parser.on('complete', () => {
    if (names.length > 0 && !hasTests) summary.tests += 1;
    summary.assertions += assertions;
    if (failed.length > 0)
      summary.failures.push({ file, test: names.join(' > ') || 'outside of its tests', assertions: failed });
  });
}
