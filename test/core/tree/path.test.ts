import fc from 'fast-check';
import t from 'tap';
import {
  nameEncodedBytesMax,
  nameOf,
  newPathProblem,
  parentOf,
  pathEncodedBytesMax,
  pathLevelsMax,
  pathProblem,
  sequentialPathProblem,
} from '../../../src/core/tree/path.ts';

t.test('the root, deep paths, spaces and names with dots in them are valid paths', async (t) => {
  const valid = [
    '/',
    '/a',
    '/a/b/c',
    '/.foo',
    '/..f',
    '/f.',
    '/f..',
    '/name.with.',
    '/...',
    '/a/.b/c..',
    '/a b',
    '/ ',
    '/~',
    '/\u00a0',
    '/ü/日本語',
    '/\ud7ff',
    '/\uf900',
    '/\uffef',
    `/${'x'.repeat(10_000)}`,
  ];
  for (const path of valid) t.equal(pathProblem(path), undefined, JSON.stringify(path.slice(0, 20)));
});

t.test('an invalid path is refused with a text that names the rule and the position', async (t) => {
  const cases: [string, string][] = [
    ['', 'the path is empty'],
    ['a', "the path does not start with '/'"],
    ['a/b', "the path does not start with '/'"],
    ['./a', "the path does not start with '/'"],
    ['/a/', "the path ends with '/'"],
    ['//', "the path ends with '/'"],
    ['//a', 'segment 1 is empty'],
    ['/a//b', 'segment 2 is empty'],
    ['/.', "segment 1 is '.'"],
    ['/./a', "segment 1 is '.'"],
    ['/a/./b', "segment 2 is '.'"],
    ['/a/.', "segment 2 is '.'"],
    ['/..', "segment 1 is '..'"],
    ['/a/..', "segment 2 is '..'"],
    ['/a/b/../c', "segment 3 is '..'"],
    ['/abcd\u0007', 'character U+0007 at position 5 is not allowed'],
    ['/a\u0000b', 'character U+0000 at position 2 is not allowed'],
    ['/😀', 'character U+1F600 at position 1 is not allowed'],
  ];
  for (const [path, problem] of cases) t.equal(pathProblem(path), problem, JSON.stringify(path));
});

t.test('the forbidden characters are ZooKeeper’s, at both ends of each range', async (t) => {
  const ranges = [
    [0x0000, 0x001f],
    [0x007f, 0x009f],
    [0xd800, 0xf8ff],
    [0xfff0, 0xffff],
  ] as const;
  for (let unit = 0; unit <= 0xffff; unit++) {
    const forbidden = ranges.some(([first, last]) => unit >= first && unit <= last);
    const refused = pathProblem(`/a${String.fromCharCode(unit)}b`) !== undefined;
    if (forbidden !== refused) t.equal(refused, forbidden, `U+${unit.toString(16)}`);
  }
  t.ok(true, 'all 65,536 code units were tried');
});

t.test('the prefix of a sequential node is validated with a digit appended', async (t) => {
  for (const prefix of ['/p/', '/p/.', '/p/..', '/', '/p/x-', '/p']) {
    t.equal(sequentialPathProblem(prefix), undefined, prefix);
  }
  t.equal(sequentialPathProblem('/p//'), 'segment 2 is empty');
  t.equal(sequentialPathProblem('/p/./'), "segment 2 is '.'");
  t.equal(sequentialPathProblem('/p/../'), "segment 2 is '..'");
  t.equal(sequentialPathProblem(''), "the path does not start with '/'");
});

t.test('the parent is the text up to the last slash, also for invalid paths', async (t) => {
  const cases: [string, string, string][] = [
    ['/', '/', ''],
    ['/a', '/', 'a'],
    ['/a/b', '/a', 'b'],
    ['/a/b/c', '/a/b', 'c'],
    ['/p/', '/p', ''],
    ['/p//', '/p/', ''],
    ['/p/./x', '/p/.', 'x'],
    ['none', '/', 'none'],
    ['', '/', ''],
  ];
  for (const [path, parent, name] of cases) {
    t.equal(parentOf(path), parent, `parent of ${path}`);
    t.equal(nameOf(path), name, `name of ${path}`);
  }
});

t.test('the number of levels of a path is limited', async (t) => {
  t.equal(pathProblem('/a'.repeat(pathLevelsMax)), undefined);
  t.equal(pathProblem('/a'.repeat(pathLevelsMax + 1)), `the path has more than ${pathLevelsMax} levels`);
  t.match(sequentialPathProblem(`${'/a'.repeat(pathLevelsMax)}/`), /more than/);
});

t.test(
  'a new name and a new path are bounded by their length in a URL, in which any script has room for 256 characters',
  async (t) => {
    const cases: [path: string, problem: RegExp | undefined][] = [
      [`/${'é'.repeat(384)}`, undefined],
      [`/pz/${'é'.repeat(3000)}`, /^segment 2 has 18000 bytes .* the limit is 2304/],
      [`/${'é'.repeat(385)}`, /^segment 1 has 2310 bytes/],
      [`/${'語'.repeat(256)}`, undefined],
      [`/${'語'.repeat(257)}`, /segment 1/],
      [`/a/${'x'.repeat(nameEncodedBytesMax)}`, undefined],
      [`/a/${'x'.repeat(nameEncodedBytesMax + 1)}`, /segment 2/],
      [`/${' '.repeat(768)}`, undefined],
      [`/${' '.repeat(769)}`, /segment 1/],
      [`/${'A~b-C_0.9z'.repeat(230)}`, undefined],
      [`/${'x'.repeat(2303)}/${'x'.repeat(2303)}`, undefined],
      [`/${'x'.repeat(2303)}/${'x'.repeat(2304)}`, /^the path has 4609 bytes .* the limit is 4608/],
      ['/a'.repeat(pathLevelsMax), undefined],
    ];
    for (const [path, problem] of cases) {
      if (problem) t.match(newPathProblem(path), problem, `${path.length} units`);
      else t.equal(newPathProblem(path), undefined, `${path.length} units`);
      const names = path.slice(1).split('/').map(encodeURIComponent);
      if (!problem) t.ok(`/${names.join('/')}`.length <= pathEncodedBytesMax);
    }
    t.equal(pathProblem(`/pz/${'é'.repeat(3000)}`), undefined, 'what is there already can be named');
    t.equal(sequentialPathProblem(`/${'x'.repeat(nameEncodedBytesMax - 11)}`), undefined);
    t.match(sequentialPathProblem(`/${'x'.repeat(nameEncodedBytesMax - 10)}`), /segment 1 has 2305/, 'with its number');
  },
);

t.test('every valid path consists of its parent, a slash and its name', async (t) => {
  const segment = fc.string({ minLength: 1, unit: fc.constantFrom('a', 'b', '.', ' ', 'é') });
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 5 }), (segments) => {
      const path = `/${segments.join('/')}`;
      const bad = segments.some((s) => s === '.' || s === '..');
      if (bad !== (pathProblem(path) !== undefined)) return false;
      const parent = parentOf(path);
      return (parent === '/' ? `/${nameOf(path)}` : `${parent}/${nameOf(path)}`) === path;
    }),
  );
  t.ok(true);
});
