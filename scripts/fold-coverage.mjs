// Folds the raw coverage of many processes into few small files, which c8 reads: `node scripts/fold-coverage.mjs FOLDER`. Node.js writes
// several MB for each of a thousand processes: packages, tests, source maps. What is compiled from src stays, and of each script only
// where processes differ in what they have run; how often they have run it does not count.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node scripts/fold-coverage.mjs <folder>');
  process.exit(2);
}
const own = pathToFileURL(join(dirname(dirname(fileURLToPath(import.meta.url))), 'build/src/')).href;
const scriptHead = '{"scriptId":"';

/** By URL of a script the lists of its functions, as JSON, as far as they differ. */
const scripts = new Map();
const names = readdirSync(folder);
for (const name of names) fold(readFileSync(join(folder, name), 'utf8'));
for (const name of names) rmSync(join(folder, name));
for (let at = 0; ; at += 1) {
  const result = [];
  for (const [url, lists] of scripts) {
    const functions = [...lists][at];
    if (functions !== undefined)
      result.push({ scriptId: String(result.length), url, functions: JSON.parse(functions) });
  }
  if (result.length === 0) break;
  writeFileSync(join(folder, `coverage-${at}.json`), JSON.stringify({ result }));
}

/** Takes what one process has run. Its text is cut rather than parsed: only a tenth of it is wanted. */
function fold(text) {
  const end = text.lastIndexOf('],"timestamp":');
  // A process that was killed while it wrote has covered nothing.
  if (end < 0) return;
  for (let at = text.indexOf(scriptHead); at >= 0 && at < end; ) {
    const found = text.indexOf(scriptHead, at + 1);
    const next = found < 0 || found > end ? end : found;
    const urlAt = text.indexOf('"url":"', at) + '"url":"'.length;
    if (text.startsWith(own, urlAt)) take(text.slice(at, next));
    at = next;
  }
}

function take(script) {
  const { url, functions } = JSON.parse(script.replace(/,$/, '').replace(/"count":[1-9]\d*/g, '"count":1'));
  const lists = scripts.get(url) ?? new Set();
  scripts.set(url, lists.add(JSON.stringify(functions)));
}
