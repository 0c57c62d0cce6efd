// Runs the tests (`npm test`; options and files for tap may follow `--`), and prints a line for each file, then what failed, with
// its diagnostics, at the end, where the log of a build is read first. The whole TAP is in build/results.tap.
//
// Up to three files that failed are run again, alone: a machine that was too busy for them is told from a fault. What passes only
// then is listed as unstable, by name; it does not fail the run.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Parser } from 'tap-parser';

const FILES_RUN_AGAIN = 3;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const number = (value) => value.toLocaleString('en');

/**
 * Runs tap and reads its report.
 * @param {string[]} options of tap
 * @param {string} results name of the file in build/ that gets the TAP
 * @returns {Promise<{status: number, files: number, tests: number, assertions: number, failures: Failure[]}>} `tests` are subtests without
 * subtests of their own: tap itself counts assertions, of which one test may have one or thousands
 */
async function run(options, results) {
  const summary = { files: 0, tests: 0, assertions: 0, failures: [] };
  const parser = new Parser();
  parser.on('child', (file) => readFile(file, summary));
  parser.on('assert', (result) => {
    if (!result.ok && !summary.failures.some(({ file }) => file === result.name)) {
      // The file itself failed: it ended early, or ran out of time.
      summary.failures.push({ file: result.name, test: 'the file itself', assertions: [result] });
    }
    const seconds = ((result.time ?? 0) / 1000).toFixed(1);
    console.log(`${result.ok ? 'ok    ' : 'FAILED'} ${seconds.padStart(6)} s  ${result.name}`);
  });
  const tap = spawn(join(root, 'node_modules/.bin/tap'), ['--reporter=tap', ...options], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  tap.stdout.pipe(parser);
  tap.stdout.pipe(createWriteStream(join(root, 'build', results)));
  const status = await new Promise((resolve) => tap.on('close', resolve));
  return { status: status ?? 1, ...summary };
}

/** Counts the tests of one file, and keeps the assertions that failed. */
function readFile(parser, summary) {
  summary.files += 1;
  readTest(parser, parser.name, [], summary);
}

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
    if (failed.length > 0) summary.failures.push({ file, test: names.join(' > '), assertions: failed });
  });
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

const given = process.argv.slice(2);
const first = await run(given, 'results.tap');
printFailures(first.failures);
// A file that ran out of time is also reported as a failure without a file.
const failedFiles = [...new Set(first.failures.map(({ file }) => file))].filter((file) => file.endsWith('.js'));
const count = `${number(first.tests)} tests in ${number(first.files)} files (${number(first.assertions)} assertions)`;
if (first.status === 0) {
  console.log(`\n${count}, all passed`);
} else if (failedFiles.length === 0 || failedFiles.length > FILES_RUN_AGAIN) {
  console.log(`\n${count}, ${number(first.failures.length)} failed in ${number(failedFiles.length)} files`);
  process.exitCode = 1;
} else {
  console.log(`\nRunning again, alone: ${failedFiles.join(' ')}`);
  const again = await run(
    [...given.filter((option) => option.startsWith('--')), '--jobs=1', ...failedFiles],
    'results-again.tap',
  );
  printFailures(again.failures);
  const fails = (test) => again.failures.some((other) => other.file === test.file && other.test === test.test);
  const unstable = first.failures.filter((test) => again.status === 0 || !fails(test));
  console.log(
    `\n${count}, ${again.status === 0 ? 'all passed at last' : `${number(again.failures.length)} failed twice`}`,
  );
  for (const { file, test } of unstable) console.log(`UNSTABLE  ${file}  ${test}`);
  process.exitCode = again.status === 0 ? 0 : 1;
}
