// The Lua scripts: each says what it takes and gives, and no more tags than it says; all are called, and only they are.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { encodeCommit } from '../../src/store/groups/group-commit.ts';
import { coordinationKeys, partitionKeys } from '../../src/store/keys.ts';
import { layoutOf } from '../../src/store/migrations/migrate.ts';
import { migrations } from '../../src/store/migrations/migrations.ts';
import { loadScripts } from '../../src/store/scripts.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import {
  codeOf,
  entryScripts,
  filesWith,
  filesWithout,
  luaOf,
  read,
  replyTags,
  scripts,
  sources,
} from './repository.ts';

const keyLibraries = ['src/store/lua/lib/keys.lua', 'src/store/lua/lib/log-keys.lua'];

t.test('every entry script begins with the shebang, its flags among those that we use', async (t) => {
  t.ok(entryScripts.length > 0, 'there are scripts');
  t.same(filesWithout(/^#!lua( flags=(no-writes|allow-oom))?\n/, entryScripts), []);
});

t.test(
  'every entry script has a header that begins with what it is for, and says what it takes and gives',
  async (t) => {
    t.same(filesWithout(/^[A-Z]/, entryScripts, headerOf), []);
    const missing = ['KEYS', 'ARGV', 'Returns', 'Errors'].flatMap((part) =>
      filesWithout(new RegExp(`\\n +${part} `), entryScripts, headerOf).map((file) => `${file}: ${part}`),
    );
    t.same(missing, []);
  },
);

t.test('every script declares one key, which carries the hash tag', async (t) => {
  t.same(filesWithout(/\n +KEYS +1 (root|partition)\b/, entryScripts, headerOf), []);
});

t.test('a script that only reads emits nothing', async (t) => {
  const readers = entryScripts.filter((file) => /^#!lua flags=no-writes/.test(read(file)));
  t.ok(readers.length > 0, 'there are such scripts');
  t.same(filesWith(/\n +Emits /, readers, headerOf), []);
});

t.test('the header of a script names every error that the script itself returns', async (t) => {
  const unnamed = entryScripts.flatMap((file) => {
    const errors = /\n +Errors ([\s\S]*?)(?=\n +(?:Emits|Returns) |$)/.exec(headerOf(file))?.[1] ?? '';
    return replyTags(read(file))
      .filter((tag) => tag !== 'OK' && !new RegExp(`\\b${tag}\\b`).test(errors))
      .map((tag) => `${file}: ${tag}`);
  });
  t.same(unnamed, []);
});

t.test('a script names its arguments in its first lines, and reads none by its number after that', async (t) => {
  const afterNames = (file: string) => luaOf(file).replace(/^#!.*\n\s*(local (?!function)[^\n]*\n)*/, '');
  t.same(filesWith(/.*\bARGV\[\d.*/, scripts, afterNames), []);
});

t.test('libraries have no shebang, and begin with their includes and a comment that says what they are', async (t) => {
  const libraries = scripts.filter((path) => !entryScripts.includes(path));
  t.same(filesWithout(/^(--- @include "lib\/[\w-]+"\n)*--/, libraries), []);
});

t.test('scripts know no chance, and no clock but the store, which lib/clock reads', async (t) => {
  const others = scripts.filter((file) => !file.endsWith('/lib/clock.lua'));
  t.same([...filesWith(/\bmath\.random|\bos\./, scripts, luaOf), ...filesWith(/'TIME'/, others, luaOf)], []);
});

t.test('scripts know no key but those of the key libraries', async (t) => {
  const others = scripts.filter((file) => !keyLibraries.includes(file));
  t.same(filesWith(/\bkeys\.base\b|\bKEYS\[/, others, luaOf), []);
});

t.test('no script touches both kinds of hash slot', async (t) => {
  const libraries = [/^local keys = /m, /^local log = /m];
  const both = [...loadScripts().values()].filter(({ lua }) => libraries.every((pattern) => pattern.test(lua)));
  t.same(
    both.map(({ name }) => name),
    [],
  );
});

t.test('the names of keys in Lua are those in TypeScript', async (t) => {
  const cases = [
    {
      file: keyLibraries[0]!,
      keys: coordinationKeys('p'),
      base: '{p}:',
      first: 'root',
      renamed: {} as Record<string, string>,
    },
    {
      file: keyLibraries[1]!,
      keys: partitionKeys('p', 'id', 3),
      base: '{p:id:3}:',
      first: 'partition',
      // In Lua `log` is the whole library.
      renamed: { batches: 'log' } as Record<string, string>,
    },
  ];
  for (const { file, keys, base, first, renamed } of cases) {
    const inLua: Record<string, string> = { [first]: base + first };
    const lua = luaOf(file);
    const declarations =
      /(?:function \w+\.(\w+)\(\w+\) return|\w+\.(\w+) =) (?:\w+\.)?base \.\. '([^']+)'( \.\. \w+)?/g;
    for (const [, method, field, text, argument] of lua.matchAll(declarations)) {
      const name = (method ?? field ?? '').replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
      inLua[renamed[name] ?? name] = base + text + (argument === undefined ? '' : 'X');
    }
    const inTypeScript = Object.fromEntries(
      Object.entries(keys).map(([name, key]) => [name, typeof key === 'string' ? key : key('X')]),
    );
    t.same(inLua, inTypeScript, file);
  }
});

t.test('groups/apply reads exactly the fields that its encoder sends', async (t) => {
  const limits = { maxNodeBytes: 1, eventRetention: 1, responseLimits: '' };
  const [, , fields] = encodeCommit('g', 0, { document: undefined, liveMemberCount: 0 }, limits);
  const code = codeOf('src/store/lua/lib/group-apply.lua');
  const read = new Set([...code.matchAll(/\bupdate\.(\w+)/g)].map(([, name]) => name));
  read.delete('document');
  t.same([...read].sort(), Object.keys(JSON.parse(String(fields))).sort());
});

t.test('the layout that scripts look for is the one that stored data is converted to', async (t) => {
  const inLua = /local LAYOUT = '(\d+)'/.exec(read('src/store/lua/lib/require-open.lua'))?.[1];
  t.equal(Number(inLua), layoutOf(migrations));
});

t.test('every script is called from the store, and no script is called that there is not', async (t) => {
  const names = entryScripts.map((file) => file.replace(/^src\/store\/lua\/|\.lua$/g, ''));
  const folders = new Set(names.map((name) => name.split('/')[0]!));
  const called = new Set<string>();
  for (const file of sources) {
    const text = codeOf(file);
    // A noun's calls may name the verb alone, where one line puts the folder before it.
    const folder = /`([a-z-]+)\/\$\{\w+\}`/.exec(text)?.[1];
    for (const [, argument] of text.matchAll(/call(?:Unguarded)?\(([^,)]*),/g)) {
      for (const [, name] of argument!.matchAll(/'([a-z/-]+)'/g)) {
        called.add(name!.includes('/') || folder === undefined ? name! : `${folder}/${name}`);
      }
    }
    // A name may also be chosen before the call; other literals with a slash, such as media types, have no such folder.
    for (const [, start, verb] of text.matchAll(/'([a-z-]+)\/([a-z-]+)'/g)) {
      if (folders.has(start!)) called.add(`${start}/${verb}`);
    }
  }
  t.same([...called].sort(), [...names].sort());
});

t.test('the loader gives every entry script, with its shebang and without lines of includes', async (t) => {
  const loaded = [...loadScripts().values()];
  t.equal(loaded.length, entryScripts.length, 'all are there');
  t.same(
    loaded.filter(({ lua }) => !lua.startsWith('#!lua') || lua.includes('@include')),
    [],
  );
  t.same(
    loaded.filter(({ lua, writes }) => writes === lua.startsWith('#!lua flags=no-writes')),
    [],
  );
});

t.test('the loader puts each library into a script once at most', async (t) => {
  const libraries = ['keys', 'txn', 'stat', 'session', 'ops', 'log'];
  const twice = [...loadScripts().values()].flatMap(({ name, lua }) =>
    libraries
      .filter((library) => lua.split(new RegExp(`^local ${library} = `, 'm')).length > 2)
      .map((library) => `${name}: ${library}`),
  );
  t.same(twice, []);
});

t.test('the loader refuses broken scripts, and says where', async (t) => {
  const broken: { what: string; files: Record<string, string>; message: RegExp }[] = [
    {
      what: 'an include that is not there',
      files: { 'nodes/get.lua': '#!lua\n\n--- @include "lib/absent"\n' },
      message: /nodes\/get\.lua:3: the included file lib\/absent\.lua does not exist/,
    },
    {
      what: 'a missing include inside an include',
      files: { 'a/b.lua': '#!lua\n--- @include "lib/one"\n', 'lib/one.lua': '-- one\n\n--- @include "lib/two"\n' },
      message: /lib\/one\.lua:3: the included file lib\/two\.lua does not exist/,
    },
    {
      what: 'a circle of includes',
      files: {
        'a/b.lua': '#!lua\n--- @include "lib/one"\n',
        'lib/one.lua': '--- @include "lib/two"\n',
        'lib/two.lua': '--- @include "lib/one"\n',
      },
      message: /circular include: a\/b\.lua -> lib\/one\.lua -> lib\/two\.lua -> lib\/one\.lua/,
    },
    {
      what: 'a script without the shebang',
      files: { 'a/b.lua': "return { 'OK' }\n" },
      message: /a\/b\.lua:1: the first line must be the shebang #!lua/,
    },
    {
      what: 'an include line with a typing error',
      files: { 'a/b.lua': '#!lua\n-- @include lib/keys\n', 'lib/keys.lua': '' },
      message: /not an include line/,
    },
  ];
  for (const { what, files, message } of broken) {
    const folder = temporaryFolder(t);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    t.throws(() => loadScripts(`${folder}/`), { message }, what);
  }
});

t.test('a line number of the loader is that of the file', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'a'));
  writeFileSync(join(folder, 'a/b.lua'), '#!lua\n-- second line\n--- @include "lib/absent"\n');
  t.throws(() => loadScripts(`${folder}/`), { message: /a\/b\.lua:3:/ });
});

/** The first block comment of a script, which is its header. */
function headerOf(file: string): string {
  return /--\[\[\s*([\s\S]*?)\]\]/.exec(read(file))?.[1] ?? '';
}

t.test('constants of scripts are put in their places, and nothing else that has their names', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'a'));
  const lines = [
    '#!lua',
    "local MAX, NAME = 12, 'a b'",
    'local TABLE = {}',
    '-- MAX in a comment',
    "return { MAX, 'MAX', NAME .. MAX, MAX .. NAME, TABLE.MAX, #NAME, MAX2, MAX = 3, 'it\\'s MAX' }",
    'late(library, function()',
    '  local MOST = 7',
    '  local function each() return MOST end',
  ];
  writeFileSync(join(folder, 'a/b.lua'), lines.join('\n'));
  t.same([...loadScripts(`${folder}/`).values()][0]!.lua.split('\n'), [
    '#!lua',
    '',
    'local TABLE = {}',
    '-- MAX in a comment',
    "return { 12, 'MAX', 'a b' .. 12, 12 .. 'a b', TABLE.MAX, #'a b', MAX2, MAX = 3, 'it\\'s MAX' }",
    'late(library, function()',
    '',
    '  local function each() return 7 end',
  ]);
});

t.test('no loaded script uses a constant that it does not have', async (t) => {
  const loaded = [...loadScripts().values()];
  const constants = (lua: string) =>
    lua
      .replace(/--\[\[[\s\S]*?\]\]|--.*|'(?:[^'\\\n]|\\.)*'|"[^"\n]*"|(?<![.:])[.:](?![.:]) *\w+|[{,]\s*\w+ = /g, ' ')
      .match(/\b[A-Z][A-Z0-9_]*\b/g) ?? [];
  const unknown = loaded.flatMap(({ name, lua }) =>
    [...new Set(constants(lua))]
      .filter((word) => !/^(KEYS|ARGV)$/.test(word) && !new RegExp(`\\blocal [A-Z0-9_, ]*\\b${word}\\b`).test(lua))
      .map((word) => `${name}: ${word}`),
  );
  t.same(unknown, []);
  t.ok(
    loaded.every(({ lua }) => !/^ {0,2}local [A-Z0-9_]+ = \d+$/m.test(lua)),
    'all constants are in their places',
  );
});
