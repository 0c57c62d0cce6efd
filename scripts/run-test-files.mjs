// Runs test files in processes of their own, some at a time, and reads their TAP. The command `tap` does this, too, but with one process for
// each file, and what it loads into each, for mocks and for coverage of its own, takes as much CPU as a server with all its packages.
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Parser } from 'tap-parser';
import { parse } from 'yaml';
import { endTree } from './process-tree.mjs';

/** At most so long after the end of a file's time, of which tap tells, comes SIGTERM, and as long after that SIGKILL. */
const killMsMax = 10_000;
/** A process whose tests have all ended may take so long to end: more means that they left something running. */
const exitMs = 60_000;

const running = new Set();
// A run that is ended leaves no test behind, nor what the test has started.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    for (const { pid } of running) endTree(pid, 'SIGTERM');
    process.exit(1);
  });
}

/**
 * @typedef {{file: string, test: string, assertions: object[]}} Failure
 * @typedef {{file: string, test: string, reason: string}} Skipped
 * @typedef {{files: number, tests: number, assertions: number, failures: Failure[], skipped: Skipped[], cpuByFile: Map<string, number>}}
 * Summary `tests` are subtests without subtests of their own: tap itself counts assertions, of which one test may have one or thousands.
 * `cpuByFile` is in s; what it takes to load the server counts for the first file of a process
 */

/** What .taprc says of the processes, for the command `tap` as well. */
export function settingsOf(root) {
  const { jobs, timeout, 'node-arg': nodeArgs } = parse(readFileSync(join(root, '.taprc'), 'utf8'));
  return { jobs, timeout, nodeArgs };
}

/**
 * Runs groups of files in the order given, those of a group one after the other in one process, and prints a line for each group, and
 * for each file that fails.
 * @param {string} root of the repository
 * @param {readonly (readonly string[])[]} groups
 * @param {{jobs: number, timeout: number, nodeArgs: string[], results: string}} settings timeout of a file in s; `results` names the
 * file that gets the TAP of all
 * @returns {Promise<Summary>}
 */
export async function runTestFiles(root, groups, { jobs, timeout, nodeArgs, results }) {
  const summary = { files: 0, tests: 0, assertions: 0, failures: [], skipped: [], cpuByFile: new Map() };
  const waiting = [...groups];
  const output = createWriteStream(join(root, results));
  output.write('TAP version 14\n');
  let processes = 0;
  const work = async () => {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      const { tap, end, left, isOk } = await new TestProcess(root, group, { timeout, nodeArgs, summary }).run();
      processes += 1;
      output.write(`# Subtest: ${group.join(' ')}\n${tap.replace(/^(?=.)/gm, '    ')}`);
      output.write(`${isOk ? 'ok' : 'not ok'} ${processes} - ${group.join(' ')} # ${end}\n`);
      if (left.length > 0) waiting.unshift(left);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  output.end(`1..${processes}\n`);
  return summary;
}

/** One process, which runs the files of a group. */
class TestProcess {
  #files;
  #root;
  #settings;
  #summary;
  #child;
  #begun = 0;
  #ended = 0;
  #timer;
  #isLate = false;
  #startedAt = performance.now();

  constructor(root, files, { summary, ...settings }) {
    this.#root = root;
    this.#files = files;
    this.#settings = settings;
    this.#summary = summary;
  }

  /** @returns its TAP, how it ended, whether all is well, and the files that it did not come to */
  async run() {
    const { timeout, nodeArgs } = this.#settings;
    const program = ['--enable-source-maps', ...nodeArgs, 'scripts/shared-tests.mjs', ...this.#files];
    const child = spawn(process.execPath, program, {
      cwd: this.#root,
      // The channel tells it of the end of this process.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(timeout), FORCE_COLOR: '0' },
      // A group of processes, which can be ended as a whole.
      detached: true,
    });
    this.#child = child;
    child.on('message', ({ file, cpu }) => {
      // tap sends messages of its own.
      if (cpu !== undefined) this.#summary.cpuByFile.set(file, cpu);
    });
    running.add(child);
    let tap = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      tap += text;
    });
    const completed = this.#read(child.stdout);
    this.#expectWithin(timeout * 1000 + this.#killMs);
    const exit = await new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));
    // What its tests have started and left would also keep the output open.
    endTree(child.pid, 'SIGKILL');
    await completed;
    running.delete(child);
    clearTimeout(this.#timer);
    const end = this.#isLate ? `ended after ${timeout} s` : `exit ${exit}`;
    const isOk = this.#judgeEnd(end, exit, tap);
    return { tap, end, isOk, left: this.#files.slice(this.#ended) };
  }

  /** Reads the TAP. @returns a promise of its end */
  #read(stdout) {
    const parser = new Parser();
    const tests = new Map();
    parser.on('child', (child) => {
      this.#begun += 1;
      readTest(child, child.name, [], this.#summary);
      child.on('complete', ({ count }) => tests.set(child.name, count));
    });
    parser.on('assert', ({ ok, name, diag }) => {
      if (name !== this.#files[this.#ended]) {
        if (!ok) this.#fail(this.#currentFile, 'outside of its tests', { name, diag });
        return;
      }
      if (tests.get(name) === 0) this.#fail(name, 'the file itself', { name: 'it has no tests' });
      else if (!ok && !this.#hasFailed(name)) this.#fail(name, 'the file itself', { name, diag });
      this.#endFile();
    });
    const completed = new Promise((resolve) => parser.once('complete', resolve));
    stdout.pipe(parser);
    return completed;
  }

  /** The file that was begun last. */
  get #currentFile() {
    return this.#files[Math.max(this.#begun, 1) - 1];
  }

  #countFile() {
    this.#ended += 1;
    this.#summary.files += 1;
  }

  #endFile() {
    this.#countFile();
    this.#expectWithin(this.#ended < this.#files.length ? this.#settings.timeout * 1000 + this.#killMs : exitMs);
  }

  get #killMs() {
    return Math.min(this.#settings.timeout * 1000, killMsMax);
  }

  #hasFailed(file) {
    return this.#summary.failures.some((failure) => failure.file === file);
  }

  #fail(file, test, ...assertions) {
    this.#summary.failures.push({ file, test, assertions });
  }

  /** Ends the process unless something is heard of it in time. */
  #expectWithin(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      endTree(this.#child.pid, 'SIGTERM');
      this.#timer = setTimeout(() => endTree(this.#child.pid, 'SIGKILL'), this.#killMs);
    }, ms);
  }

  /** A process that ends early, or not, fails the file that it was at. @returns whether all is well */
  #judgeEnd(end, exit, tap) {
    const file = this.#currentFile;
    const hasFailed = this.#files.some((each) => this.#hasFailed(each));
    const isUnfinished = this.#ended < this.#files.length;
    if (isUnfinished || ((this.#isLate || exit !== 0) && !hasFailed)) {
      const name = isUnfinished ? end : `${end}, after all tests of ${this.#files.join(', ')}`;
      if (!this.#hasFailed(file)) this.#fail(file, 'the file itself', { name, diag: { tail: tap.slice(-2000) } });
    }
    if (this.#ended < Math.max(this.#begun, 1)) this.#countFile();
    const failed = this.#files.filter((each) => this.#hasFailed(each));
    for (const each of failed) print('FAILED', this.#startedAt, each);
    if (failed.length === 0) print('ok', this.#startedAt, nameOf(this.#files));
    return failed.length === 0;
  }
}

function print(result, startedAt, what) {
  console.log(`${result.padEnd(6)} ${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${what}`);
}

function nameOf(files) {
  if (files.length === 1) return files[0];
  const folders = new Set(files.map((file) => file.slice(0, file.lastIndexOf('/'))));
  return `${files.length} files of ${[...folders].join(' ')}`;
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
    if (result.skip)
      summary.skipped.push({ file, test: [...names, result.name].join(' > '), reason: String(result.skip) });
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
