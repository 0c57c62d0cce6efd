// The rules for files that no compiler and no linter of ours knows.
import { posix } from 'node:path';
import t from 'tap';
import { exists, filesBelow, read, root, sources, tests } from './repository.ts';

const code = [
  ...sources,
  ...tests,
  ...filesBelow('bench', '.ts'),
  ...filesBelow('testbed', '.ts'),
  ...filesBelow('scripts', '.mjs'),
  ...filesBelow('src/store/lua', '.lua'),
  ...filesBelow('test', '.sh'),
  ...filesBelow('test/clients/programs'),
  ...filesBelow('examples'),
];
const prose = [
  ...filesBelow('docs', '.md'),
  'README.md',
  'Dockerfile',
  '.ci/run',
  'package.json',
  'openapi.yaml',
].filter(exists);
/** This file spells out what it looks for. */
const self = 'test/house/files.test.ts';
const manifest = JSON.parse(read('package.json'));

t.test('no file is longer than 400 lines', async (t) => {
  for (const file of code) {
    const lines = read(file).split('\n').length - 1;
    t.ok(lines <= 400, `${file} has ${lines} lines`);
  }
});

t.test('files are named by nouns in kebab-case', async (t) => {
  for (const file of code)
    t.match(file, /^(\.?[a-z0-9-]+\/)*[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.(ts|mjs|lua|sh|py|go|java|conf|cfg|vcl)$/, file);
});

t.test('every source file opens with a comment that says what it owns', async (t) => {
  // The catalogue and its error say so at the declaration itself.
  for (const file of sources) t.match(read(file), /^(#!.*\n)?(\/\/|\/\*\*)|^import [^\n]+\n\n?(\/\*\*|\/\/)/, file);
});

t.test('nothing is left for later, switched off, or silenced', async (t) => {
  const forbidden: [pattern: RegExp, what: string][] = [
    [/\b(TODO|FIXME|XXX|HACK)\b/, 'a note of what is missing'],
    [
      /biome-ignore|eslint-disable|@ts-ignore|@ts-expect-error|@ts-nocheck|luacheck:|shellcheck disable/,
      'a silenced checker',
    ],
  ];
  for (const file of code.filter((path) => path !== self)) {
    for (const [pattern, what] of forbidden) {
      t.notOk(pattern.exec(read(file))?.[0], `${file} has ${what}`);
    }
  }
  // This one is also a program, and speaks to who runs it.
  for (const file of sources.filter((path) => path !== 'src/embedded-redis/redis-binary.ts')) {
    t.notOk(/\bconsole\.(log|debug)\(|\bdebugger\b/.exec(read(file))?.[0], `${file} has an output for debugging`);
  }
  for (const file of tests.filter((path) => path !== self)) {
    t.notOk(/\.(only|skip|todo)\(|\b(skip|todo): (true|')/.exec(read(file))?.[0], `${file} leaves no test out`);
  }
});

t.test('no signal is combined with another one', async (t) => {
  // On Node 20 AbortSignal.any leaves an entry on a signal that lives as long as the process for ever.
  const offenders = sources.filter((file) => /\bAbortSignal\.any\(/.test(read(file)));
  t.same(offenders, [], 'sources use http/request-signal.ts, or a controller of their own, instead of AbortSignal.any');
});

t.test('no file names a folder of the machine that it was written on', async (t) => {
  const places = /(^|[\s'"`(=])\/(work|home|root|Users|mnt)\/[\w.-]+|[A-Z]:\\Users\\/m;
  for (const file of [...code, ...prose].filter((path) => path !== self)) {
    t.notOk(places.exec(read(file))?.[0], `${file} names no such folder`);
    t.notOk(read(file).includes(root), `${file} does not name this folder`);
  }
});

t.test('every test file is one that the runner finds', async (t) => {
  const helper = /^test\/helpers\/|\/[a-z-]+\.ts$/;
  for (const file of tests) {
    const isTest = /\.test\.ts$/.test(file);
    const usesTap = /^import t\b[^\n]* from 'tap'/m.test(read(file));
    t.equal(isTest, usesTap, `${file}: it runs tests exactly if its name ends with .test.ts`);
    if (!isTest) t.match(file, helper, `${file} is a helper`);
  }
  // These have commands of their own: each has to run all of its folder.
  const byFolder = {
    faults: ['test:faults', 'test:faults:short'],
    proxies: ['test:proxies', 'test:proxies:short'],
    clients: ['test:clients'],
  };
  const others = Object.keys(byFolder).join('|');
  for (const glob of ['build/test/*.test.js', `build/test/!(${others})/**/*.test.js`]) {
    t.ok(read('.taprc').includes(`"${glob}"`), `the runner looks at ${glob}`);
  }
  for (const [folder, scripts] of Object.entries(byFolder)) {
    t.ok(filesBelow(`test/${folder}`, '.test.ts').length > 0, `there are tests in ${folder}`);
    const below = tests.filter((path) => path.startsWith(`test/${folder}/`) && path.split('/').length > 3);
    t.same(below, [], `none of ${folder} is in a folder further down, where its command does not look`);
    for (const script of scripts) {
      t.ok(manifest.scripts[script]?.endsWith(` build/test/${folder}/*.test.js`), `${script} runs ${folder}`);
    }
  }
});

t.test('tests wait for conditions, and not for a time', async (t) => {
  // helpers/server.ts has the one loop that polls.
  for (const file of tests.filter((path) => /\.test\.ts$/.test(path) && path !== self)) {
    t.notOk(/await new Promise(<\w+>)?\(\(?\w+\)? => setTimeout\(/.exec(read(file))?.[0], `${file} sleeps nowhere`);
  }
});

t.test('commands that the texts tell people to run are there', async (t) => {
  const builtIn = ['ci', 'install', 'i', 'start', 'test', 'audit', 'link', 'pack', 'exec', 'prune'];
  for (const file of prose.filter((path) => /\.md$|Dockerfile$|\.ci\/run$/.test(path))) {
    for (const [, run, name] of read(file).matchAll(/(?:^ *|`|\$ |&& )npm (run )?(?:--silent )?([a-z][a-z:-]*)/gm)) {
      t.ok(run ? name! in manifest.scripts : builtIn.includes(name!), `${file}: npm ${run ?? ''}${name}`);
    }
  }
});

t.test(
  'scripts of package.json run files that are there, or that the build makes from files that are there',
  async (t) => {
    for (const [name, command] of Object.entries<string>(manifest.scripts)) {
      for (const [, path] of command.matchAll(/\bnode (?:--[\w-]+ )*([\w./-]+\.m?js)/g)) {
        const source = path!.replace(/^(dist|build)\//, '').replace(/\.js$/, '.ts');
        t.ok(exists(path!) || exists(source), `${name}: ${path} has a source`);
      }
      for (const [, other] of command.matchAll(/npm run (?:--silent )?([\w:]+)/g)) {
        t.ok(other! in manifest.scripts, `${name} runs ${other}`);
      }
    }
    for (const path of Object.values<string>(manifest.bin)) {
      const source = path.replace(/^dist\//, '').replace(/\.js$/, '.ts');
      t.match(read(source), /^#!\/usr\/bin\/env -S node /, `${source} can be run as a command`);
    }
  },
);

t.test('links between the texts lead to files that are there', async (t) => {
  for (const file of prose.filter((path) => path.endsWith('.md'))) {
    for (const [, link] of read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)) {
      const target = posix.join(posix.dirname(file), link!);
      t.ok(exists(target), `${file} links to ${link}`);
    }
  }
});

t.test('the configurations of proxies that operators read are those that are tested', async (t) => {
  const page = read('docs/operations.md');
  for (const file of filesBelow('examples/proxies')) {
    t.ok(
      page.includes(`<!-- excerpt of ${file} -->\n\`\`\`\n${read(file)}\`\`\`\n`),
      `docs/operations.md shows ${file}`,
    );
    const name = posix.basename(file);
    t.ok(read('test/proxies/proxy-programs.ts').includes(`configuration: '${name}'`), `${name} is run by a test`);
  }
});

t.test('files that the texts name are there', async (t) => {
  for (const file of prose.filter((path) => path.endsWith('.md'))) {
    for (const [, named] of read(file).matchAll(/`((?:test|src|schemas|bench|docs)\/[\w./-]+\.(?:ts|sh|lua|md))`/g)) {
      t.ok(exists(named!), `${file} names ${named}`);
    }
    for (const [, script] of read(file).matchAll(/`lua\/([\w/-]+\.lua)`/g)) {
      t.ok(exists(`src/store/lua/${script}`), `${file} names lua/${script}`);
    }
  }
});

t.test('the server runs with the same flags of Node.js, however it is started', async (t) => {
  const flagsIn = (text = '') => text.match(/--[a-z][\w-]*(=\w+)?/g)?.join(' ');
  const flags = flagsIn(manifest.scripts.start);
  const [firstLine] = read('src/main.ts').split('\n');
  t.equal(flagsIn(firstLine), flags, 'by the command weir');
  t.equal(flagsIn(read('Dockerfile').match(/^ENTRYPOINT .*"node",(.*)$/m)?.[1]), flags, 'in the image');
});

t.test('the image has what the server needs', async (t) => {
  t.ok(exists('Dockerfile'), 'there is a Dockerfile');
  const dockerfile = exists('Dockerfile') ? read('Dockerfile') : '';
  for (const needed of ['schemas', 'src', 'scripts', 'tsconfig', 'package-lock.json']) {
    t.match(dockerfile, new RegExp(`COPY[^\\n]*(\\b${needed}|\\s\\.\\s)`), `the build gets ${needed}`);
  }
  t.match(dockerfile, /npm run build|scripts\/build\.mjs/, 'it is built by the build that also copies the Lua scripts');
  t.match(dockerfile, /COPY --from=[^\n]*dist/, 'what was built is taken over, the Lua scripts with it');
  t.match(dockerfile, /^USER /m, 'it does not run as root');
  t.match(read('scripts/build.mjs'), /cpSync\([^)]*src\/store\/lua/, 'the build copies the Lua scripts');
});
