// Exports: each is used by the product. What only tests use belongs to test/helpers, or is gone.
import { dirname, posix } from 'node:path';
import t from 'tap';
import { client, codeOf, filesBelow, read, sources, tests } from './repository.ts';

const programs = [...filesBelow('bench', '.ts'), ...filesBelow('testbed', '.ts')];

/** The names that files import from others, as `file#name`; `file#*` where all of a file is imported. */
function importedBy(files: string[]): Set<string> {
  const pattern =
    /\b(?:import|export)\s+(?:type\s+)?(?:\w+\s*,\s*)?(\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*'(\.[^']+)'/g;
  const imported = files.flatMap((file) => {
    const text = codeOf(file);
    const resolve = (specifier = '') => posix.join(dirname(file), specifier);
    const fixed = [...text.matchAll(pattern)].flatMap(([, names = '', specifier]) =>
      (names.startsWith('*') ? ['*'] : names.replace(/[{}\n]/g, '').split(',')).map(
        (name) => `${resolve(specifier)}#${name.trim().replace(/^type\s+|\s+as\s.*$/g, '')}`,
      ),
    );
    const dynamic = [...text.matchAll(/\bimport\(\s*'(\.[^']+)'/g)].map(([, specifier]) => `${resolve(specifier)}#*`);
    return [...fixed, ...dynamic];
  });
  return new Set(imported);
}

/** What the package of the client exports to programs. */
const entries: string[] = Object.values<string | { default: string }>(
  JSON.parse(read('client/package.json')).exports,
).flatMap((entry) =>
  typeof entry === 'string' ? [] : entry.default.replace('./dist/', 'client/src/').replace(/js$/, 'ts'),
);
const product = [...sources, ...client.filter((file) => file !== 'client/src/wire.ts')];
const byProduct = importedBy([...product, ...programs]);
for (const entry of entries) byProduct.add(`${entry}#*`);

const byTests = importedBy(tests);

/** Exported values of the product, each with how often its own file names it besides. */
const values = product.flatMap((file) => {
  const text = codeOf(file);
  return [...text.matchAll(/^export (?:abstract )?(?:async )?(?:function\*?|const|let|class|enum) (\w+)/gm)].map(
    ([, name = '']) => ({ file, name, ownUses: text.split(new RegExp(`\\b${name}\\b`)).length - 2 }),
  );
});

/** Exported types of the product, also those that a file passes on from another one. */
const types = product.flatMap((file) => {
  const text = codeOf(file);
  const declared = [...text.matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, name = '']) => name);
  const passedOn = [...text.matchAll(/^export (?:type )?\{([^}]*)\} from/gm)].flatMap(([, names = '']) =>
    [...names.matchAll(/(?:\w+ as )?(\w+)\s*(?:,|$)/g)].map(([, name = '']) => name),
  );
  return [...declared, ...passedOn].map((name) => ({ file, name }));
});

/** Those that no other file imports, also no test. */
function neverImported(exports: readonly { file: string; name: string }[]): string[] {
  const isImported = ({ file, name }: { file: string; name: string }) =>
    [byProduct, byTests].some((imported) => imported.has(`${file}#${name}`) || imported.has(`${file}#*`));
  return exports.filter((one) => !isImported(one)).map(({ file, name }) => `${file}: ${name}`);
}

t.test('every exported value is imported by another file', async (t) => {
  t.ok(values.length > 300, 'there are exports to look at');
  t.same(neverImported(values), []);
});

t.test('every exported type is imported by another file', async (t) => {
  t.ok(types.length > 200, 'there are types to look at');
  t.same(neverImported(types), []);
});

t.test('no exported value is used by tests alone', async (t) => {
  // A test may look at a part that only its own file uses.
  const isUsed = ({ file, name, ownUses }: { file: string; name: string; ownUses: number }) =>
    ownUses > 0 || byProduct.has(`${file}#${name}`) || byProduct.has(`${file}#*`);
  t.same(
    values.filter((value) => !isUsed(value)).map(({ file, name }) => `${file}: ${name}`),
    [],
  );
});
