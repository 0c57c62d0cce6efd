// Compiles the client into client/dist, then TypeScript with the given tsconfig into the given folder, copies the Lua scripts beside the compiled store,
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

const compiler = ['scripts', 'package.json', 'node_modules/.package-lock.json', 'tsconfig.json'];
const client = ['client/src', 'client/package.json', 'client/tsconfig.json', 'client/tsconfig.browser.json'];
// The programs of bench import the client by its name, as a user does.
makeIfStale('client/dist', [...compiler, ...client], 'client/tsconfig.json', () => {
  // It must do with what browsers have.
  run(join(root, 'node_modules/.bin/tsc'), '-p', 'client/tsconfig.browser.json');
});
makeIfStale(
  outDir,
  [...compiler, ...client, 'src', 'schemas', 'test', 'bench', 'testbed', 'client/test', project],
  project,
  () => {
    cpSync(join(root, 'src/store/lua'), join(root, outDir, 'src/store/lua'), { recursive: true });
    run(process.execPath, join(root, outDir, 'src/openapi-file.js'), join(root, outDir, 'openapi.json'));
  },
);

/**
 * Compiles into a folder, unless it has what the inputs would make: a start must not wait for a build that would change nothing. The
 * stamp names all inputs of the last build.
 */
function makeIfStale(folder, inputs, tsconfig, finish) {
  const stampFile = join(root, folder, '.inputs');
  const stamp = inputs.flatMap((path) => describe(join(root, path))).join('\n');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  // A file that was renamed or deleted must not live on in the output: a stale test would still be run.
  rmSync(join(root, folder), { recursive: true, force: true });
  run(join(root, 'node_modules/.bin/tsc'), '-p', tsconfig, '--outDir', folder);
  finish();
  writeFileSync(stampFile, stamp);
}

/** Runs a program, which says what is wrong if it fails. */
function run(program, ...args) {
  try {
    execFileSync(program, args, { cwd: root, stdio: 'inherit' });
  } catch {
    process.exit(1);
  }
}

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
