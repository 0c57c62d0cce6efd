// Checks the Lua scripts with luacheck (Debian: lua-check) if it is installed: `npm run lint`.
// A library has its meaning only in the scripts that include it, so each entry script is checked with its includes in place,
// as src/store/scripts.ts puts them together; what luacheck says is traced back to the file and line that it is about.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = 'src/store/lua';
const includeLine = /^--- @include "([^"]+)"$/;
// Codes of luacheck for what is never used; a library may have something that only some scripts use.
const unused = /^[WE](2|3|5)/;

/** The lines of a script with its includes in place, each with where it is from; a library is included once. */
function linesOf(file, seen = new Set()) {
  return readFileSync(join(folder, file), 'utf8')
    .split('\n')
    .flatMap((text, index) => {
      const included = includeLine.exec(text)?.[1];
      if (included === undefined) return [{ text: text.replace(/^#!.*/, ''), place: `${folder}/${file}:${index + 1}` }];
      const library = `${included}.lua`;
      if (seen.has(library)) return [];
      seen.add(library);
      return linesOf(library, seen);
    });
}

function luacheck(args, input) {
  return spawnSync('luacheck', args, { input, encoding: 'utf8' });
}

if (luacheck(['--version']).error?.code === 'ENOENT') {
  console.error('luacheck is not installed (Debian: lua-check): the Lua scripts are not checked.');
  process.exit(0);
}

const scripts = readdirSync(folder, { recursive: true })
  .filter((file) => file.endsWith('.lua') && !file.startsWith('lib'))
  .sort();
/** By place: how many scripts have it, and by message how many of them luacheck says it of. */
const places = new Map();
for (const script of scripts) {
  const lines = linesOf(script);
  for (const { place } of lines) {
    const entry = places.get(place) ?? { scripts: 0, messages: new Map() };
    entry.scripts += 1;
    places.set(place, entry);
  }
  const text = lines.map((line) => line.text).join('\n');
  const { status, stdout, stderr } = luacheck(['--formatter', 'plain', '--codes', '--filename', script, '-'], text);
  if (status > 2) throw new Error(`luacheck could not check ${script}: ${stderr}${stdout}`);
  for (const [, line, text] of stdout.matchAll(/^.*?:(\d+):\d+: (\(.*)$/gm)) {
    const message = text.replace(/on line (\d+)/, (_, other) => `at ${lines[other - 1].place}`);
    const { messages } = places.get(lines[line - 1].place);
    messages.set(message, (messages.get(message) ?? 0) + 1);
  }
}

const faults = [...places].flatMap(([place, { scripts, messages }]) =>
  [...messages]
    .filter(([message, count]) => !unused.test(message.slice(1)) || count === scripts)
    .map(([message]) => `${place}: ${message}`),
);
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
