// The rules for the client: it stands on the public API alone, needs no packages, and is small. The build compiles it with what
// browsers have.
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import t from 'tap';
import { clientTypes } from '../../testbed/client-types.ts';
import { codeOf, client as files, filesWith, importsOf, read, root } from './repository.ts';

/** It starts servers, so it is for Node.js alone. */
const forNode = ['client/src/testing.ts'];
const manifest = JSON.parse(read('client/package.json'));
/** Small enough to load with any page. It must not be tighter than readable code allows. */
const coreBytesMax = 16 * 1024;

t.test('the committed types are those of the schemas', async (t) => {
  t.ok(
    read('client/src/wire.ts') === clientTypes(),
    'client/src/wire.ts is out of date: run npm run client:types, and commit it',
  );
});

t.test('the client imports files of its own, and no packages', async (t) => {
  const offenders = files.flatMap((file) =>
    importsOf(file)
      .filter(({ specifier, file: target }) => {
        if (target !== undefined) return !target.startsWith('client/src/');
        return !(forNode.includes(file) && specifier.startsWith('node:'));
      })
      .map(({ specifier }) => `${file} -> ${specifier}`),
  );
  t.same(offenders, []);
  t.notOk(manifest.dependencies, 'the manifest has no dependencies');
});

t.test(`the core of the client has at most ${coreBytesMax} bytes, compressed`, async (t) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [`${root}/client/src/index.ts`],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    splitting: true,
    outdir: 'client',
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
  // What few programs need is loaded when they do.
  const loaded = new Set<string>();
  const load = (path: string) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: other, kind } of metafile.outputs[path]!.imports) if (kind === 'import-statement') load(other);
  };
  load(Object.keys(metafile.outputs).find((path) => path.endsWith('client/index.js'))!);
  const contents = outputFiles.filter(({ path }) => [...loaded].some((each) => path.endsWith(each)));
  const length = gzipSync(Buffer.concat(contents.map((each) => each.contents)), { level: 9 }).length;
  t.comment(`${length} bytes`);
  t.ok(length <= coreBytesMax, `${length} bytes`);
});

t.test('the client has no output, and reads the environment in one place', async (t) => {
  t.same(filesWith(/\bconsole\./, files, codeOf), []);
  t.same(
    filesWith(/\bprocess\.|\{ process \}/, files, codeOf).filter(
      (line) => !/^client\/src\/(index|testing|tls)\.ts:/.test(line),
    ),
    [],
  );
});
