// Compiles TypeScript with the given tsconfig into the given folder, copies the Lua scripts beside the compiled store,
// where scripts.js looks for them, and writes the OpenAPI document, which a server serves as it is:
// `node scripts/build.mjs tsconfig.build.json dist`.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [project, outDir] = process.argv.slice(2);
if (!project || !outDir) {
  console.error('usage: node scripts/build.mjs <tsconfig> <outDir>');
  process.exit(2);
}

// A start must not wait for a build that would change nothing: the stamp names all inputs of the last one.
const inputs = [
  'src',
  'schemas',
  'test',
  'bench',
  'testbed',
  'scripts',
  'package.json',
  // What is installed, the compiler among it.
  'node_modules/.package-lock.json',
  'tsconfig.json',
  project,
];
const stampFile = join(root, outDir, '.inputs');
const stamp = inputs.flatMap((path) => describe(join(root, path))).join('\n');
if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) process.exit(0);

// A file that was renamed or deleted must not live on in the output: a stale test would still be run.
rmSync(join(root, outDir), { recursive: true, force: true });
try {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', project, '--outDir', outDir], {
    cwd: root,
    stdio: 'inherit',
  });
} catch {
  process.exit(1); // tsc has printed what is wrong
}
cpSync(join(root, 'src/store/lua'), join(root, outDir, 'src/store/lua'), { recursive: true });
try {
  execFileSync(process.execPath, [join(root, outDir, 'src/openapi-file.js'), join(root, outDir, 'openapi.json')], {
    stdio: 'inherit',
  });
} catch {
  process.exit(1); // the program has said why it makes no document
}
writeFileSync(stampFile, stamp);

/** Path, size and time of change of a file, or of each file below a folder. */
function describe(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return [];
  if (stats.isDirectory())
    return readdirSync(path)
      .sort()
      .flatMap((name) => describe(join(path, name)));
  return [`${path} ${stats.size} ${stats.mtimeMs}`];
}
