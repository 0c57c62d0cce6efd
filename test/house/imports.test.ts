// Who may import whom (docs/ARCHITECTURE.md): schemas <- core <- store <- broker <- (http, ws) <- app <- server <- programs; and
// between the rooms of broker: watches, sessions <- metadata <- log <- groups. Each rule lists its offenders.
import t from 'tap';
import { exists, importsOf, read, sources, withoutComments } from './repository.ts';

const manifest = JSON.parse(read('package.json'));

/** What the files of each room may import, besides their own room. */
const allowed: Record<string, string[]> = {
  schemas: [],
  config: ['schemas'],
  core: ['schemas'],
  store: ['schemas', 'core', 'config'],
  'embedded-redis': ['schemas', 'core', 'config', 'store'],
  broker: ['schemas', 'core', 'config', 'store'],
  http: ['schemas', 'core', 'config', 'store', 'broker'],
  ws: ['schemas', 'core', 'config', 'store', 'broker'],
  app: ['schemas', 'core', 'config', 'store', 'broker', 'http', 'ws'],
  server: ['schemas', 'core', 'config', 'store', 'broker', 'app'],
  // Programs of their own, and what only they are made of.
  main: ['schemas', 'core', 'config', 'store', 'embedded-redis', 'broker', 'app', 'server'],
  'openapi-file': ['schemas', 'core', 'config', 'store', 'broker', 'app'],
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
t.test('packages are used only in the rooms that own them, and are dependencies of the product', async (t) => {
  const owners: [pattern: RegExp, rooms: string[]][] = [
    [/^(fastify|@fastify)(\/|$)|^fastify-/, ['http', 'ws', 'app', 'server']],
    [/^ioredis(\/|$)/, ['store']],
    [/^ws(\/|$)/, ['ws']],
    [/^prom-client(\/|$)/, ['broker']],
  ];
  for (const file of sources) {
    for (const { specifier, file: target, isTypeOnly } of importsOf(file)) {
      if (target !== undefined || specifier.startsWith('node:')) continue;
      for (const [pattern, rooms] of owners) {
        if (pattern.test(specifier)) t.ok(rooms.includes(roomOf(file)), `${file} may import ${specifier}`);
      }
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      const isShipped = name in manifest.dependencies;
      const isKnownType =
        isTypeOnly && (name in manifest.devDependencies || `@types/${name}` in manifest.devDependencies);
      t.ok(isShipped || isKnownType, `${file} imports ${name}, which package.json has as a dependency`);
    }
  }
});

t.test('the environment and the command line are read in one place', async (t) => {
  // The process hands both over; a program of its own finds out whether it was started as one, and which file to write.
  const handsOver = ['src/main.ts'];
  const programs = [...handsOver, 'src/openapi-file.ts', 'src/embedded-redis/redis-binary.ts'];
  for (const file of sources.filter((path) => roomOf(path) !== 'config')) {
    const text = withoutComments(read(file));
    if (!handsOver.includes(file))
      t.notOk(/\bprocess\s*\.\s*env\b/.test(text), `${file} reads no environment variable`);
    else t.notOk(/\bprocess\s*\.\s*env\s*[.[]/.test(text), `${file} reads no environment variable by name`);
    if (!programs.includes(file)) t.notOk(/\bprocess\s*\.\s*argv\b/.test(text), `${file} reads no command line`);
  }
});

t.test('core is pure: no clock, no chance, no timer, no I/O', async (t) => {
  const impure =
    /\bDate\b|\bMath\.random\b|\bperformance\b|\bset(Timeout|Interval|Immediate)\b|\bfetch\b|\bprocess\.|\bconsole\.|\brandom(UUID|Bytes|Int)\b/;
  const pureBuiltins = ['node:buffer', 'node:util', 'node:assert'];
  for (const file of sources.filter((path) => path.startsWith('src/core/'))) {
    t.notOk(impure.exec(withoutComments(read(file)))?.[0], `${file} is pure`);
    for (const { specifier } of importsOf(file)) {
      if (specifier.startsWith('node:')) t.ok(pureBuiltins.includes(specifier), `${file} may import ${specifier}`);
    }
  }
});

t.test('http and ws take no command of the store but through its nouns', async (t) => {
  for (const file of sources.filter((path) => /^src\/(http|ws)\//.test(path))) {
    const text = withoutComments(read(file));
    t.notOk(/\.connection\b|\.client\b/.test(text), `${file} speaks to no Redis by itself`);
  }
});

t.test('no file imports itself through others', async (t) => {
  const graph = new Map(
    sources.map((file) => [
      file,
      importsOf(file).flatMap(({ file: target, isTypeOnly }) => (target === undefined || isTypeOnly ? [] : [target])),
    ]),
  );
  const done = new Set<string>();
  const visit = (file: string, trail: string[]): void => {
    const at = trail.indexOf(file);
    if (at >= 0) {
      t.fail(`circular imports: ${[...trail.slice(at), file].join(' -> ')}`);
      return;
    }
    if (done.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of sources) visit(file, []);
  t.equal(done.size, graph.size, 'every file was looked at');
});
