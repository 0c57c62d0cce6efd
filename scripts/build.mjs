// Compiles the client into client/dist, then TypeScript with the given tsconfig into the given folder, copies the Lua scripts beside the
// compiled store, where scripts.js looks for them, and writes the OpenAPI document, which a server serves as it is:
// `node scripts/build.mjs tsconfig.build.json dist`. With --console it also builds the console, and copies it there. The programs are
// bundled (scripts/bundle-programs.mjs), and so are the packages that what is compiled loads (scripts/bundle-packages.mjs).
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundlePackages } from './bundle-packages.mjs';
import { bundlePrograms } from './bundle-programs.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampName = '.inputs';
const testOutDir = 'build';
const [project, outDir, ...flags] = process.argv.slice(2);
if (!project || !outDir) {
  console.error('usage: node scripts/build.mjs <tsconfig> <outDir> [--console]');
  process.exit(2);
}

const compiler = ['scripts', 'package.json', '.taprc', 'node_modules/.package-lock.json', 'tsconfig.json'];
const client = ['client/src', 'client/package.json', 'client/tsconfig.json', 'client/tsconfig.browser.json'];
// The programs of bench import the client by its name, as a user does.
await makeIfStale('client/dist', [...compiler, ...client], () => {
  compile('client/tsconfig.json', 'client/dist');
  // It must do with what browsers have.
  run(join(root, 'node_modules/.bin/tsc'), '-p', 'client/tsconfig.browser.json');
});
// The tests look at parts of the console that need no page.
const guide = [
  'docs',
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'client/README.md',
  'bench',
  'deploy',
  'examples',
];
const sources = ['src', 'schemas', 'test', 'bench', 'testbed', 'client/test', 'console/src'];
const programs = [...compiler, ...client, ...sources, 'tsconfig.build.json', 'tsconfig.test.json'];
await makeIfStale(outDir, programs, (stamp) => {
  if (copyFromTests(stamp, ['schemas', 'src', 'bench', 'testbed', 'openapi.json'])) return;
  compile(project, outDir);
  cpSync(join(root, 'src/store/lua'), join(root, outDir, 'src/store/lua'), { recursive: true });
  run(process.execPath, join(root, outDir, 'src/openapi-file.js'), join(root, outDir, 'openapi.json'));
});
await makeIfStale(join(outDir, 'guide-files'), [...compiler, ...sources, ...guide], (stamp) => {
  if (copyFromTests(stamp, ['guide-files'], 'guide-files')) return;
  run(process.execPath, join(root, outDir, 'testbed/guide/write.js'), join(outDir, 'guide-files'));
});
await makeIfStale(join(outDir, 'programs'), programs, (stamp) => {
  if (copyFromTests(stamp, ['programs'], 'programs')) return;
  return bundlePrograms(join(root, outDir), join(root, outDir, 'programs'));
});
await addBundledPackages();
if (flags.includes('--console')) await addConsole();

/**
 * What the tests were built from the same inputs has all that is shipped, made alike.
 * @param stamp of the inputs
 * @param parts files and folders
 * @param stamped the folder below that of the tests which has their stamp
 * @returns whether the parts could be copied from there
 */
function copyFromTests(stamp, parts, stamped = '.') {
  if (outDir === testOutDir || stampIn(join(root, testOutDir, stamped)) !== stamp) return false;
  for (const part of parts) cpSync(join(root, testOutDir, part), join(root, outDir, part), { recursive: true });
  return true;
}

/** They are made anew when the installed packages change, which is seldom. */
async function addBundledPackages() {
  const folder = `${outDir}-packages/node_modules`;
  await makeIfStale(folder, compiler, () => {
    const hasTests = outDir === testOutDir;
    // Makes tap's own entry point with the plugins of .taprc alone.
    if (hasTests) run(join(root, 'node_modules/.bin/tap'), 'build');
    return bundlePackages(root, join(root, folder), hasTests);
  });
  const link = join(root, outDir, 'node_modules');
  if (!existsSync(link)) symlinkSync(join('..', folder), link);
}

/** Tests that need no page do without: bundling takes longer than compiling. */
async function addConsole() {
  if (!['console/node_modules/vite', 'node_modules/vite'].some((path) => existsSync(join(root, path)))) {
    console.error('The console is not built, as Vite is not installed; `npm ci` installs it.');
    return;
  }
  const inputs = ['src', 'public', 'index.html', 'package.json', 'tsconfig.json', 'vite.config.mjs'];
  await makeIfStale('console/dist', [...compiler, ...client, ...inputs.map((path) => `console/${path}`)], () =>
    run(process.execPath, join(root, 'scripts/build-console.mjs')),
  );
  const [built, target] = [join(root, 'console/dist'), join(root, outDir, 'console-files')];
  if (stampIn(target) === stampIn(built)) return;
  rmSync(target, { recursive: true, force: true });
  cpSync(built, target, { recursive: true });
}

/**
 * Makes a folder, unless it has what the inputs would make: a start must not wait for a build that would change nothing. The
 * stamp names all inputs of the last build.
 */
async function makeIfStale(folder, inputs, make) {
  const stamp = inputs.flatMap((path) => describe(join(root, path))).join('\n');
  if (stampIn(join(root, folder)) === stamp) return;
  // On the standard error: the output of a server that is started next may be read by a program.
  console.error(`Building ${folder} …`);
  // A file that was renamed or deleted must not live on in the output: a stale test would still be run.
  rmSync(join(root, folder), { recursive: true, force: true });
  await make(stamp);
  writeFileSync(join(root, folder, stampName), stamp);
}

/** The inputs of the last build of a folder, if it was built. */
function stampIn(folder) {
  const file = join(folder, stampName);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function compile(project, outDir) {
  run(join(root, 'node_modules/.bin/tsc'), '-p', project, '--outDir', outDir);
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
