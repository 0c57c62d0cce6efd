// Exports: each is used by the product. What only tests use belongs to test/helpers, or is gone.
import { dirname, posix } from 'node:path';
import t from 'tap';
import { codeOf, filesBelow, sources, tests } from './repository.ts';

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

const byProduct = importedBy([...sources, ...programs]);
const byTests = importedBy(tests);

/** Exported values of the product, each with how often its own file names it besides. Types cost nothing at run time. */
const values = sources.flatMap((file) => {
  const text = codeOf(file);
  return [...text.matchAll(/^export (?:abstract )?(?:async )?(?:function\*?|const|let|class|enum) (\w+)/gm)].map(
    ([, name = '']) => ({ file, name, ownUses: text.split(new RegExp(`\\b${name}\\b`)).length - 2 }),
  );
});

t.test('every exported value is imported by another file', async (t) => {
  t.ok(values.length > 300, 'there are exports to look at');
  const isImported = ({ file, name }: { file: string; name: string }) =>
    [byProduct, byTests].some((imported) => imported.has(`${file}#${name}`) || imported.has(`${file}#*`));
  t.same(
    values.filter((value) => !isImported(value)).map(({ file, name }) => `${file}: ${name}`),
    [],
  );
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
