// Builds the console into console/dist: checks its types, bundles it with Vite, compresses each file, and fails if the first load is
// larger than it may be. scripts/build.mjs runs it when an input has changed.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'console');
const outDir = join(folder, 'dist');
/** What a browser loads until the overview is shown, compressed with gzip. */
const firstLoadBytesMax = 120 * 1024;

execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'console/tsconfig.json'], { cwd: root, stdio: 'inherit' });
// Vite is a package of the console, so it may be installed beside it.
const { build } = await import(pathToFileURL(createRequire(join(folder, 'package.json')).resolve('vite')).href);
const { output } = await build({
  root: folder,
  configFile: join(folder, 'vite.config.mjs'),
  logLevel: 'warn',
  build: { outDir },
});

for (const file of filesBelow(outDir)) {
  if (extname(file) === '.html') continue;
  const content = readFileSync(file);
  writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
  writeFileSync(`${file}.br`, brotliCompressSync(content));
}

const unused = output.flatMap(({ moduleIds = [] }) =>
  moduleIds.filter((id) => /client\/dist\/(producer|consumer)\.js$/.test(id)),
);
if (unused.length > 0) {
  console.error(
    `The console has code of the client that it does not use: ${unused.join(', ')}. Import what it uses by a subpath.`,
  );
  process.exit(1);
}

const page = gzipSync(readFileSync(join(outDir, 'index.html')));
const loaded = [...firstLoad()];
const bytes = loaded.reduce((sum, name) => sum + statSync(join(outDir, `${name}.gz`)).size, page.length);
if (bytes > firstLoadBytesMax) {
  console.error(`The first load of the console has ${bytes} bytes, compressed; the limit is ${firstLoadBytesMax}.`);
  process.exit(1);
}
console.log(`Console: the first load has ${loaded.length} files, ${(bytes / 1024).toFixed(1)} KiB compressed.`);

/** The files of the page and of the overview, which it shows first. */
function firstLoad() {
  const chunks = new Map(output.map((chunk) => [chunk.fileName, chunk]));
  const names = new Set();
  const add = (name) => {
    if (names.has(name)) return;
    names.add(name);
    const { imports = [], viteMetadata } = chunks.get(name) ?? {};
    for (const other of [...imports, ...(viteMetadata?.importedCss ?? [])]) add(other);
  };
  for (const { fileName, isEntry, facadeModuleId } of chunks.values()) {
    if (isEntry || facadeModuleId?.endsWith('/pages/overview.tsx')) add(fileName);
  }
  return names;
}

function filesBelow(path) {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
