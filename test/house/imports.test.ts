// Who may import whom (docs/ARCHITECTURE.md): schemas <- core <- store <- broker <- (http, ws) <- app <- server <- programs <- cli; and
// between the rooms of broker: watches, sessions <- metadata <- log <- groups. Each rule lists its offenders.
import t from 'tap';
import { client, codeOf, exists, filesBelow, filesWith, importsOf, read, sources } from './repository.ts';

const manifest = JSON.parse(read('package.json'));

/** What the files of each room may import, besides their own room. */
const allowed: Record<string, string[]> = {
  schemas: [],
  access: ['schemas', 'core'],
  config: ['schemas'],
  core: ['schemas'],
  tls: [],
  store: ['schemas', 'core', 'config'],
  'embedded-redis': ['schemas', 'core', 'config', 'store'],
  broker: ['schemas', 'core', 'access', 'config', 'store'],
  http: ['schemas', 'core', 'access', 'config', 'store', 'broker', 'tls'],
  ws: ['schemas', 'core', 'access', 'config', 'store', 'broker'],
  app: ['schemas', 'core', 'access', 'config', 'store', 'broker', 'tls', 'http', 'ws'],
  server: ['schemas', 'core', 'access', 'config', 'store', 'broker', 'tls', 'app'],
  'server-store': ['schemas', 'core', 'config', 'store', 'embedded-redis', 'server'],
  'server-stop': ['config'],
  logging: ['config', 'store', 'stack-traces'],
  'server-process': [
    'schemas',
    'core',
    'access',
    'config',
    'store',
    'broker',
    'app',
    'server',
    'server-store',
    'server-stop',
  ],
  workers: [
    'schemas',
    'core',
    'config',
    'store',
    'broker',
    'http',
    'app',
    'server',
    'server-store',
    'server-stop',
    'server-process',
    'logging',
    'tls',
  ],
  // Programs of their own, and what only they are made of.
  main: ['access', 'config', 'server-store', 'server-stop', 'server-process', 'workers', 'logging'],
  'stack-traces': [],
  // On top of all: it starts a server as `main`, and asks one over the public API.
  cli: ['schemas', 'access', 'config', 'store', 'embedded-redis', 'server-store', 'main'],
  'openapi-file': ['schemas', 'core', 'config', 'store', 'broker', 'http', 'app'],
  'asyncapi-file': ['schemas', 'config', 'http'],
};

/** What the rooms within broker may import of each other; the files right in it put them together. */
const allowedInBroker: Record<string, string[]> = {
  watches: [],
  sessions: [],
  metadata: ['watches', 'sessions'],
  log: ['watches', 'sessions', 'metadata'],
  groups: ['watches', 'sessions', 'metadata', 'log'],
};

/** The room of a file: its folder, or for the files right in src their own name. */
function roomOf(path: string): string {
  const [top, second = ''] = path.split('/');
  return top === 'schemas' ? 'schemas' : second.replace(/\.ts$/, '');
}

/** The room within broker, if it is in one. */
function innerRoomOf(path: string): string | undefined {
  return /^src\/broker\/([^/]+)\//.exec(path)?.[1];
}

/** All imports of product code, as `file -> target`. */
const imports = sources.flatMap((file) =>
  importsOf(file).flatMap(({ file: target }) => (target === undefined ? [] : [{ file, target }])),
);
const asText = ({ file, target }: { file: string; target: string }) => `${file} -> ${target}`;

t.test('every source file is in a room whose imports are decided', async (t) => {
  const rooms = sources.filter((file) => !(roomOf(file) in allowed));
  const innerRooms = sources.filter((file) => !((innerRoomOf(file) ?? 'watches') in allowedInBroker));
  t.same([...rooms, ...innerRooms], []);
});

t.test('imports name files of the product that are there', async (t) => {
  t.same(imports.filter(({ target }) => !exists(target) || !/^(src|schemas)\//.test(target)).map(asText), []);
});

t.test('imports between rooms go in one direction', async (t) => {
  const offends = ({ file, target }: { file: string; target: string }) => {
    const [room, other] = [roomOf(file), roomOf(target)];
    return room !== other && !allowed[room]?.includes(other);
  };
  t.same(imports.filter(offends).map(asText), []);
});

t.test('imports between the rooms of broker go in one direction', async (t) => {
  const offends = ({ file, target }: { file: string; target: string }) => {
    const [room, other] = [innerRoomOf(file), innerRoomOf(target)];
    return room !== undefined && other !== undefined && room !== other && !allowedInBroker[room]?.includes(other);
  };
  t.same(imports.filter(offends).map(asText), []);
});

/** Imports of packages by product code, without those of Node itself. */
const packages = sources.flatMap((file) =>
  importsOf(file)
    .filter(({ specifier, file: target }) => target === undefined && !specifier.startsWith('node:'))
    .map(({ specifier, isTypeOnly }) => ({ file, target: specifier, isTypeOnly })),
);

t.test('packages are used only in the rooms that own them', async (t) => {
  const owners: [pattern: RegExp, rooms: string[]][] = [
    [/^(fastify|@fastify)(\/|$)|^fastify-/, ['http', 'ws', 'app', 'server']],
    [/^ioredis(\/|$)/, ['store']],
    [/^ws(\/|$)/, ['ws']],
    [/^prom-client(\/|$)/, ['broker']],
    [/^(commander|@weirkeeper\/client)(\/|$)/, ['cli']],
  ];
  const offends = ({ file, target }: { file: string; target: string }) =>
    owners.some(([pattern, rooms]) => pattern.test(target) && !rooms.includes(roomOf(file)));
  t.same(packages.filter(offends).map(asText), []);
});

t.test('packages are dependencies of the product, or of its types alone', async (t) => {
  const isDependency = ({ target, isTypeOnly }: { target: string; isTypeOnly: boolean }) => {
    const name = /^(@[^/]+\/)?[^/]+/.exec(target)?.[0] ?? target;
    const isKnownType = name in manifest.devDependencies || `@types/${name}` in manifest.devDependencies;
    return name in manifest.dependencies || (isTypeOnly && isKnownType);
  };
  t.same(packages.filter((each) => !isDependency(each)).map(asText), []);
});

t.test('the console imports the client and what its pages are made of, and nothing of the server', async (t) => {
  const known = [
    '@weirkeeper/client',
    '@weirkeeper/client/log',
    '@weirkeeper/client/tree',
    'preact',
    'preact/hooks',
    '@preact/signals',
    'uplot',
    'uplot/dist/uPlot.min.css',
  ];
  const files = [...filesBelow('console/src', '.ts'), ...filesBelow('console/src', '.tsx')];
  t.ok(files.length > 20, 'there are files to look at');
  const offenders = files.flatMap((file) =>
    importsOf(file)
      .filter(({ specifier, file: target }) =>
        target === undefined ? !known.includes(specifier) : !target.startsWith('console/src/'),
      )
      .map(({ specifier }) => `${file} -> ${specifier}`),
  );
  t.same(offenders, []);
});

t.test('packages whose internals are used are pinned to one version', async (t) => {
  const pinned = ['ioredis', 'cluster-key-slot'];
  t.same(
    pinned.filter((name) => !/^\d+\.\d+\.\d+$/.test(manifest.dependencies[name])),
    [],
  );
});

t.test('the environment and the command line are read in one place', async (t) => {
  // The process hands both over; a program of its own finds out whether it was started as one, and which file to write.
  const handsOver = ['src/main.ts', 'src/cli/main.ts'];
  const programs = [...handsOver, 'src/openapi-file.ts', 'src/asyncapi-file.ts', 'src/embedded-redis/redis-binary.ts'];
  const files = sources.filter((path) => roomOf(path) !== 'config');
  const without = (excepted: string[]) => files.filter((path) => !excepted.includes(path));
  t.same(
    [
      ...filesWith(/\bprocess\s*\.\s*env\b/, without(handsOver), codeOf),
      ...filesWith(/\bprocess\s*\.\s*env\s*[.[]\s*\w*/, handsOver, codeOf),
      ...filesWith(/\bprocess\s*\.\s*argv\b/, without(programs), codeOf),
    ],
    [],
  );
});

t.test('core is pure: no clock, no chance, no timer, no I/O', async (t) => {
  const files = sources.filter((path) => path.startsWith('src/core/'));
  const impure =
    /\bDate\b|\bMath\.random\b|\bperformance\b|\bset(Timeout|Interval|Immediate)\b|\bfetch\b|\bprocess\.|\bconsole\.|\brandom(UUID|Bytes|Int)\b/;
  const pureBuiltins = ['node:buffer', 'node:util', 'node:assert'];
  const builtins = files.flatMap((file) =>
    importsOf(file)
      .filter(({ specifier }) => specifier.startsWith('node:') && !pureBuiltins.includes(specifier))
      .map(({ specifier }) => asText({ file, target: specifier })),
  );
  t.same([...filesWith(impure, files, codeOf), ...builtins], []);
});

t.test('http and ws take no command of the store but through its nouns', async (t) => {
  const files = sources.filter((path) => /^src\/(http|ws)\//.test(path));
  t.same(filesWith(/\.connection\b|\.client\b/, files, codeOf), []);
});

t.test('no file imports itself through others, not even for its types', async (t) => {
  const graph = new Map(
    [...sources, ...client].map((file) => [
      file,
      importsOf(file).flatMap(({ file: target }) => (target === undefined ? [] : [target])),
    ]),
  );
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, trail: string[]): void => {
    const at = trail.indexOf(file);
    if (at >= 0) circles.push([...trail.slice(at), file].join(' -> '));
    if (at >= 0 || done.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of [...sources, ...client]) visit(file, []);
  t.same(circles, []);
});
