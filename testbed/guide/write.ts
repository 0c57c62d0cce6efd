// Writes the guide: `node dist/testbed/guide/write.js dist/guide-files`, for src/http/static-files.ts to serve. scripts/build.mjs runs it.
import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { errorCatalogue } from '../../schemas/errors.ts';
import { projectRoot } from '../../src/config/package.ts';
import { fileOf, type GuideFiles, layoutOf } from './layout.ts';
import { hashedName, readGuide, sectionsOf } from './pages.ts';

/** The best quality takes ten times as long for some percent. */
const brotliQuality = 9;

/** Writes every file of the guide into a new folder, the texts among them also compressed. */
export async function writeGuide(folder: string, root = projectRoot()): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const guide = readGuide(root, errorCatalogue);
  const { assets, theme } = await bundle(root);
  const add = (name: string, content: Uint8Array): string => {
    const url = `guide/assets/${hashedName(name, content)}`;
    assets.set(url, content);
    return url;
  };
  const files: GuideFiles = {
    script: nameWith(assets, '.js'),
    stylesheet: nameWith(assets, '.css'),
    logo: add('logo.svg', readFileSync(join(root, 'console/public/logo.svg'))),
    searchIndex: add('search.json', Buffer.from(JSON.stringify(sectionsOf(guide)))),
  };
  writeFile(folder, 'logo.svg', readFileSync(join(root, 'console/public/logo.svg')));
  for (const page of guide.pages) writeFile(folder, fileOf(page.url), Buffer.from(layoutOf(page, guide, files)));
  for (const [name, content] of [...assets, ...theme, ...guide.pictures]) writeFile(folder, name, content);
}

/** The script and the stylesheet of the pages, by where they are served; and those that give the page of the API the same look. */
async function bundle(root: string): Promise<{ assets: Map<string, Uint8Array>; theme: Map<string, Uint8Array> }> {
  const source = join(root, 'console/src/guide');
  const { outputFiles } = await build({
    entryPoints: ['guide.ts', 'guide.css', 'api-theme.ts', 'api-theme.css'].map((name) => join(source, name)),
    outdir: join(root, 'guide/assets'),
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2022',
  });
  const files = outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));
  const isTheme = ({ name }: { name: string }) => name.startsWith('api-theme.');
  return {
    assets: new Map(
      files
        .filter((file) => !isTheme(file))
        .map(({ name, contents }) => [`guide/assets/${hashedName(name, contents)}`, contents]),
    ),
    theme: new Map(files.filter(isTheme).map(({ name, contents }) => [name, contents])),
  };
}

function nameWith(assets: ReadonlyMap<string, Uint8Array>, ending: string): string {
  const name = [...assets.keys()].find((each) => each.endsWith(ending));
  if (name === undefined) throw new Error(`The guide has no file ${ending}`);
  return name;
}

function writeFile(folder: string, name: string, content: Uint8Array): void {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  // A picture is compressed in itself.
  if (name.endsWith('.png')) return;
  writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
  const params = { [constants.BROTLI_PARAM_QUALITY]: brotliQuality };
  writeFileSync(`${file}.br`, brotliCompressSync(content, { params }));
}

const [, program, folder] = process.argv;
if (program && realpathSync(program) === fileURLToPath(import.meta.url)) {
  if (folder === undefined) throw new Error('usage: node dist/testbed/guide/write.js <folder>');
  await writeGuide(folder);
}
