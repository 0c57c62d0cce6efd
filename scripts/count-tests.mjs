// Says how many tests a run had: `node scripts/count-tests.mjs build/results.tap`, a file that tap wrote with --output-file.
// tap itself counts assertions, of which one test may have one or thousands.
import { readFileSync } from 'node:fs';

const [path] = process.argv.slice(2);
if (!path) {
  console.error('usage: node scripts/count-tests.mjs <file of TAP>');
  process.exit(2);
}

let files = 0;
let tests = 0;
let assertions = 0;
let failed = 0;
// A subtest's own line of result follows its plan, less indented by one step: so it counts as one test, not as an assertion.
const open = [];
for (const line of readFileSync(path, 'utf8').split('\n')) {
  const [, indent, name, result] = /^( *)(?:# Subtest: (.*)|(ok|not ok) \d+\b.*)$/.exec(line) ?? [];
  if (name !== undefined) {
    open.push({ depth: indent.length, hasTests: false });
    const parent = open.at(-2);
    if (parent) parent.hasTests = true;
  } else if (result !== undefined && open.at(-1)?.depth === indent.length) {
    const { depth, hasTests } = open.pop();
    if (depth === 0) files += 1;
    else if (!hasTests) tests += 1;
    if (depth > 0 && !hasTests && result === 'not ok') failed += 1;
  } else if (result !== undefined && open.length > 0) {
    assertions += 1;
  }
}
const number = (value) => value.toLocaleString('en');
console.log(
  `${number(tests)} tests in ${number(files)} files, ${failed === 0 ? 'all passed' : `${number(failed)} failed`} (${number(assertions)} assertions)`,
);
