// The package as npm packs it: every subpath can be imported, and its types are found, by a bundler's rules and by those of Node.js.
// `npm run test:package` installs and uses it with each version of Node.js.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { temporaryFolder } from '../../testbed/scope.ts';

const run = promisify(execFile);
const root = projectRoot();
const folder = temporaryFolder(t);
const { NODE_OPTIONS: _, ...env } = process.env;

interface Packed {
  filename: string;
  files: { path: string }[];
}
const pack = ['pack', '--ignore-scripts', '--json', '--silent', '--workspace=client', `--pack-destination=${folder}`];
const [{ filename, files }] = JSON.parse((await run('npm', pack, { cwd: root, env })).stdout) as [Packed];
const installed = join(folder, 'node_modules/@weirkeeper/client');
mkdirSync(installed, { recursive: true });
await run('tar', ['-xzf', join(folder, filename), '--strip-components=1', '-C', installed]);
writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
// For the types of the subpath that starts a server.
mkdirSync(join(folder, 'node_modules/@types'));
for (const name of ['@types/node', 'undici-types'])
  symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));

const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
/** One thing of each subpath. */
const uses: Record<string, string> = {
  '.': 'Weir',
  './tree': 'TreeClient',
  './log': 'LogClient',
  './recipes': 'lock',
  './testing': 'startPrivateServer',
};
const specifier = (subpath: string) => `@weirkeeper/client${subpath.slice(1)}`;
const subpaths = Object.keys(manifest.exports).filter((subpath) => !subpath.endsWith('.json'));

t.test('it has what it needs, and no tests', async (t) => {
  t.same(subpaths.sort(), Object.keys(uses).sort(), 'this test knows each subpath');
  const paths = files.map(({ path }) => path);
  t.same(
    paths.filter((path) => !/^(dist\/|README\.md$|package\.json$|LICENSE)/.test(path)),
    [],
  );
  for (const needed of ['README.md', 'dist/index.js', 'dist/index.d.ts', 'dist/tls.js'])
    t.ok(paths.includes(needed), needed);
});

t.test('each subpath can be imported', async (t) => {
  const lines = subpaths.map(
    (subpath) => `console.log(typeof (await import('${specifier(subpath)}')).${uses[subpath]});`,
  );
  writeFileSync(join(folder, 'import.js'), lines.join('\n'));
  const { stdout } = await run(process.execPath, ['import.js'], { cwd: folder, env });
  t.same(
    stdout.trim().split('\n'),
    subpaths.map(() => 'function'),
  );
});

for (const [moduleResolution, module] of [
  ['bundler', 'esnext'],
  ['node16', 'node16'],
  ['nodenext', 'nodenext'],
]) {
  t.test(`the types of each subpath are found with moduleResolution ${moduleResolution}`, async (t) => {
    const imports = subpaths.map((subpath) => `import { ${uses[subpath]} } from '${specifier(subpath)}';`);
    const program = `${imports.join('\n')}
const weir = new Weir({ url: 'http://localhost:7070', tls: { ca: { file: 'ca.pem' } } });
const offset: number = (await weir.producer({ topic: 't' }).send({ value: 1 })).offset;
const token: number = await lock(weir, 'l').with(({ token }) => token);
export const all = [offset, token, ${Object.values(uses).join(', ')}];
`;
    writeFileSync(join(folder, 'program.ts'), program);
    const compilerOptions = {
      ...{ target: 'es2022', lib: ['es2023', 'esnext.disposable', 'dom'], module, moduleResolution, strict: true },
      ...{ noEmit: true, types: ['node'], skipLibCheck: false },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
    // Tap's own options would reach it through the environment.
    const compiled = run('env', ['NODE_OPTIONS=', join(root, 'node_modules/.bin/tsc'), '-p', folder]);
    t.equal((await compiled.catch((error: { stdout: string }) => error)).stdout, '');
  });
}
