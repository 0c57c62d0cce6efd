// The rules for files that no compiler and no linter of ours knows. Each rule lists its offenders.
import { posix } from 'node:path';
import t from 'tap';
import { client, exists, filesBelow, filesWith, filesWithout, read, root, sources, tests } from './repository.ts';

const code = [
  ...sources,
  ...client,
  ...tests,
  ...filesBelow('bench', '.ts'),
  ...filesBelow('testbed', '.ts'),
  ...filesBelow('scripts', '.mjs'),
  ...filesBelow('console/src', '.ts'),
  ...filesBelow('console/src', '.tsx'),
  ...filesBelow('src/store/lua', '.lua'),
  ...filesBelow('test', '.sh'),
  ...filesBelow('test/clients/programs'),
  ...filesBelow('examples').filter((path) => !/\.(md|txt|mod|sum)$/.test(path)),
];
const prose = [
  ...filesBelow('docs', '.md'),
  ...filesBelow('examples', '.md'),
  'README.md',
  'client/README.md',
  'Dockerfile',
  '.ci/run',
  'package.json',
  'openapi.yaml',
].filter(exists);
/** This file spells out what it looks for. */
const self = 'test/house/files.test.ts';
const codeButThis = code.filter((path) => path !== self);
const testsButThis = tests.filter((path) => path !== self);
const pages = prose.filter((path) => path.endsWith('.md'));
const manifest = JSON.parse(read('package.json'));

t.test('files are named by nouns in kebab-case', async (t) => {
  const name = /^(\.?[a-z0-9-]+\/)*[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.(ts|tsx|mjs|lua|sh|py|go|java|conf|cfg|vcl)$/;
  t.same(
    filesWithout(name, code, (path) => path),
    [],
  );
});

t.test('every source file opens with a comment that says what it owns', async (t) => {
  // The catalogue and its error say so at the declaration itself.
  t.same(filesWithout(/^(#!.*\n)?(\/\/|\/\*\*)|^import [^\n]+\n\n?(\/\*\*|\/\/)/, [...sources, ...client]), []);
});

t.test('no file but those of tests is longer than 400 lines', async (t) => {
  const lines = (path: string) => read(path).trimEnd().split('\n').length;
  const isGenerated = (path: string) => path === 'client/src/wire.ts';
  const long = code.filter((path) => !tests.includes(path) && !isGenerated(path) && lines(path) > 400);
  t.same(
    long.map((path) => `${path}: ${lines(path)}`),
    [],
  );
});

t.test('no file has a note of what is missing', async (t) => {
  t.same(filesWith(/\b(TODO|FIXME|XXX|HACK)\b/, codeButThis), []);
});

t.test('no checker is silenced', async (t) => {
  const silenced =
    /biome-ignore|eslint-disable|@ts-ignore|@ts-expect-error|@ts-nocheck|luacheck:|shellcheck disable|c8 ignore|v8 ignore/;
  t.same(filesWith(silenced, codeButThis), []);
});

t.test('no source has an output for debugging', async (t) => {
  // This one is also a program, and writes to the terminal.
  const files = sources.filter((path) => path !== 'src/embedded-redis/redis-binary.ts');
  t.same(filesWith(/\bconsole\.(log|debug)\(|\bdebugger\b/, files), []);
});

t.test('no test is left out', async (t) => {
  t.same(filesWith(/\.(only|skip|todo)\(|\b(skip|todo): (true|')/, testsButThis), []);
});

t.test('no signal is combined with another one', async (t) => {
  // On Node 20 AbortSignal.any leaves an entry on a signal that lives as long as the process for ever. Sources use
  // http/request-signal.ts, or a controller of their own.
  t.same(filesWith(/\bAbortSignal\.any\(/, sources), []);
});

t.test('no file names a folder of the machine that it was written on', async (t) => {
  const places = /(^|[\s'"`(=])\/(work|home|root|Users|mnt)\/[\w.-]+|[A-Z]:\\Users\\/m;
  const files = [...codeButThis, ...prose];
  t.same([...filesWith(places, files), ...files.filter((file) => read(file).includes(root))], []);
});

t.test('every file of tests is named as one, and no helper is', async (t) => {
  const isNamedAsTest = (file: string) => file.endsWith('.test.ts');
  const runsTests = (file: string) => /^import t\b[^\n]* from 'tap'/m.test(read(file));
  t.same(
    tests.filter((file) => isNamedAsTest(file) !== runsTests(file)),
    [],
  );
});

t.test('the runner looks at every folder of tests, or a command of its own does', async (t) => {
  const commands: Record<string, string[]> = {
    faults: ['test:faults', 'test:faults:short'],
    proxies: ['test:proxies', 'test:proxies:short'],
    clients: ['test:clients'],
    generated: ['check:clients'],
    schemathesis: ['check:schemathesis'],
    browser: ['test:browser'],
    deploy: ['check:deploy'],
  };
  const others = Object.keys(commands).join('|');
  const globs = ['build/test/*.test.js', `build/test/!(${others})/**/*.test.js`];
  const unread = globs.filter((glob) => !read('.taprc').includes(`"${glob}"`));
  const offenders = Object.entries(commands).flatMap(([folder, scripts]) => {
    const files = filesBelow(`test/${folder}`, '.test.ts');
    // Its command does not look into folders further down.
    const below = files.filter((path) => path.split('/').length > 3);
    const lost = scripts.filter((name) => !manifest.scripts[name]?.endsWith(` build/test/${folder}/*.test.js`));
    return [...below, ...lost, ...(files.length === 0 ? [`test/${folder} has no tests`] : [])];
  });
  const commandsOfClient: Record<string, string> = { faults: 'test:client', browser: 'test:client:browser' };
  const folders = new Set(filesBelow('client/test', '.test.ts').map((path) => posix.dirname(path)));
  const lost = [...folders].filter((folder) => {
    const command = commandsOfClient[posix.basename(folder)];
    const glob = `build/${folder}/*.test.js`;
    return folder === 'client/test'
      ? !read('.taprc').includes(`"${glob}"`)
      : !manifest.scripts[command ?? '']?.endsWith(` ${glob}`);
  });
  t.same([...unread, ...offenders, ...lost], []);
});

t.test('tests wait for conditions, and not for a time', async (t) => {
  // helpers/server.ts has the one loop that polls.
  const files = testsButThis.filter((path) => path.endsWith('.test.ts'));
  t.same(filesWith(/await new Promise(<\w+>)?\(\(?\w+\)? => setTimeout\(/, files), []);
});

t.test('tests wait for what they assert of promises', async (t) => {
  // Biome's rule on floating promises does not know the types of packages.
  t.same(filesWith(/^ *t\.(rejects|resolves|resolveMatch|resolveMatchSnapshot|emits)\(/m, testsButThis), []);
});

t.test('commands that the texts tell people to run are there', async (t) => {
  const builtIn = ['ci', 'install', 'i', 'start', 'test', 'audit', 'link', 'pack', 'exec', 'prune'];
  const commands = prose
    .filter((path) => /\.md$|Dockerfile$|\.ci\/run$/.test(path))
    .flatMap((file) =>
      [...read(file).matchAll(/(?:^ *|`|\$ |&& )npm (run )?(?:--silent )?([a-z][a-z:-]*)/gm)].map(
        ([, run = '', name = '']) => ({ file, run, name }),
      ),
    );
  t.ok(commands.length > 10, 'there are commands to look at');
  t.same(
    commands
      .filter(({ run, name }) => (run ? !(name in manifest.scripts) : !builtIn.includes(name)))
      .map(({ file, run, name }) => `${file}: npm ${run}${name}`),
    [],
  );
});

t.test('scripts of package.json run files and scripts that are there, or files that the build makes', async (t) => {
  const offenders = Object.entries<string>(manifest.scripts).flatMap(([name, command]) => {
    const files = [...command.matchAll(/\bnode (?:--[\w-]+(?:=\S+)? )*([\w./-]+\.m?js)/g)].map((match) => match[1]!);
    const others = [...command.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map((match) => match[1]!);
    return [
      ...files.filter((path) => !exists(path) && !exists(sourceOf(path)) && !exists(bundleOf(path))),
      ...others.filter((other) => !(other in manifest.scripts)),
    ].map((missing) => `${name}: ${missing}`);
  });
  t.same(offenders, []);
});

t.test('what package.json installs as a command can be run as one', async (t) => {
  const programs = Object.values<string>(manifest.bin).map(bundleOf);
  t.same(filesWithout(/^#!\/usr\/bin\/env -S node /, programs), []);
});

t.test('the configurations of proxies that operators read are those that are tested', async (t) => {
  const page = read('docs/operations.md');
  const files = filesBelow('examples/proxies');
  t.ok(files.length > 0, 'there are configurations to look at');
  const unshown = files.filter((file) => !page.includes(`<!-- excerpt of ${file} -->\n\`\`\`\n${read(file)}\`\`\`\n`));
  const tested = read('test/proxies/proxy-programs.ts');
  const untested = files.filter((file) => !tested.includes(`configuration: '${posix.basename(file)}'`));
  t.same([...unshown, ...untested], []);
});

t.test('files that the texts name are there', async (t) => {
  const named = pages.flatMap((file) => [
    ...[...read(file).matchAll(/`((?:test|src|schemas|bench|docs)\/[\w./-]+\.(?:ts|sh|lua|md))`/g)].map(
      ([, path = '']) => ({ file, path }),
    ),
    ...[...read(file).matchAll(/`lua\/([\w/-]+\.lua)`/g)].map(([, path]) => ({ file, path: `src/store/lua/${path}` })),
  ]);
  t.ok(named.length > 20, 'there are names to look at');
  t.same(
    named.filter(({ path }) => !exists(path)).map(({ file, path }) => `${file}: ${path}`),
    [],
  );
});

t.test('the server runs with the same flags of Node.js, however it is started', async (t) => {
  const flagsIn = (text = '') => text.match(/--[a-z][\w-]*(=\w+)?/g)?.join(' ');
  const flags = flagsIn(manifest.scripts.start);
  for (const program of [manifest.scripts.start.split(' ').at(-1), manifest.bin.weir]) {
    const [firstLine] = read(bundleOf(program)).split('\n');
    t.equal(flagsIn(firstLine), flags, `by its first line, ${program}`);
  }
  // tini passes signals on to the program that npm links, which serves unless a command is given.
  const dockerfile = read('Dockerfile');
  const [, linked] = /^RUN chmod 0755 (\S+) && ln -s \/app\/\1 \/usr\/local\/bin\/weir$/m.exec(dockerfile) ?? [];
  t.equal(linked, manifest.bin.weir, 'in the image');
  t.match(dockerfile, /^ENTRYPOINT \["tini", "--", "weir"\]\nCMD \["serve"\]$/m);
  const unit = read('deploy/systemd/weirkeeper.service');
  t.match(unit, /^ExecStart=\/opt\/weirkeeper\/node_modules\/\.bin\/weir serve$/m, 'by systemd');
});

t.test('the image has what the server needs', async (t) => {
  const dockerfile = read('Dockerfile');
  const needed = ['schemas', 'src', 'scripts', 'tsconfig', 'package-lock.json'];
  t.same(
    needed.filter((name) => !new RegExp(`COPY[^\\n]*(\\b${name}|\\s\\.\\s)`).test(dockerfile)),
    [],
    'the build gets all of them',
  );
  t.match(dockerfile, /npm run build|scripts\/build\.mjs/, 'it is built by the build that also copies the Lua scripts');
  t.match(dockerfile, /COPY --from=[^\n]*dist/, 'what was built is taken over, the Lua scripts with it');
  t.match(dockerfile, /^USER /m, 'it does not run as root');
  t.match(read('scripts/build.mjs'), /cpSync\([^)]*src\/store\/lua/, 'the build copies the Lua scripts');
});

/** The bundle of a program as the build of the tests has it, which is the one that is shipped. */
function bundleOf(path: string): string {
  return path.replace(/^dist\/programs\//, 'build/programs/');
}

/** The TypeScript file that a built one is made of. */
function sourceOf(path: string): string {
  return path.replace(/^(dist|build)\//, '').replace(/\.js$/, '.ts');
}
