// Bundles the packages of which a server, or a test, loads hundreds of modules: to find, read and link a module costs as much as to run
// it. They are made of what is installed, anew when that changes, and serve what is built here: `npm start`, the image, the tests. Who
// installs the package of the server has the packages as npm installs them, which `npm run test:package` uses.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

/** Packages that use each other are bundled together, so that there is one of each. */
const packagesOfServer = [
  'zod',
  'zod-openapi',
  'fastify',
  'fastify-plugin',
  'fastify-zod-openapi',
  '@fastify/swagger',
  '@fastify/websocket',
  'ws',
  'ioredis',
  'pino',
  'prom-client',
  'lru-cache',
  'tinyqueue',
  'negotiator',
  'ipaddr.js',
  'close-with-grace',
];
const packagesOfTests = ['tap', 'fast-check'];

/** What packages of the older kind are given, as a module has none. */
const banner = `import { createRequire as createRequireOfBundle } from 'node:module';
const require = createRequireOfBundle(import.meta.url);`;

/**
 * Makes a folder that serves as `node_modules` of what is compiled; packages that are not in it are found in that of the repository.
 * @param {string} root of the repository
 * @param {string} folder that gets the packages
 * @param {boolean} hasTests whether tests are compiled, too
 */
export async function bundlePackages(root, folder, hasTests) {
  const packages = [...packagesOfServer, ...(hasTests ? packagesOfTests : [])];
  const entries = new Map();
  for (const name of packages) entries.set(name, await entryOf(name));
  await build({
    entryPoints: Object.fromEntries(packages.map((name) => [`${name}/bundled`, `entry:${name}`])),
    entryNames: '[dir]/[name]',
    chunkNames: 'shared-[hash]',
    outdir: folder,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    banner: { js: banner },
    logLevel: 'error',
    absWorkingDir: root,
    alias: { 'async-hook-domain': join(root, 'scripts/tap-errors.mjs') },
    plugins: [virtualEntries(root, entries)],
  });
  for (const [name, text] of entries) {
    // The exports of a package are those of its bundle, which may have more where another one shares it.
    const own = name === 'tap' ? tapEntry(text) : text;
    writeFileSync(join(folder, name, 'index.js'), own.replace(`'${name}'`, `'./bundled.js'`));
    writeFileSync(join(folder, name, 'package.json'), JSON.stringify({ name, type: 'module', exports: './index.js' }));
  }
}

/** A module that exports by name what a package exports when Node.js loads it, also one of the older kind. */
async function entryOf(name) {
  const exported = Object.keys(await import(name)).filter((key) => /^[\w$]+$/.test(key));
  return `export { ${exported.join(', ')} } from '${name}';\n`;
}

/**
 * What tests import as `tap`. Its default export, the test that a file adds its tests to, is another one for each file where several
 * run in one process (scripts/shared-tests.mjs).
 */
function tapEntry(text) {
  return `import root from './bundled.js';
import { failOnErrors } from '../../../scripts/tap-errors.mjs';
${text.replace(' default,', '')}
let test = root;
export { test as default };
export const giveTestsTo = (other) => {
  test = other;
};
failOnErrors(root);
`;
}

/** @returns {import('esbuild').Plugin} */
function virtualEntries(root, entries) {
  return {
    name: 'entries',
    setup(build) {
      build.onResolve({ filter: /^entry:/ }, ({ path }) => ({ path: path.slice('entry:'.length), namespace: 'entry' }));
      build.onLoad({ filter: /./, namespace: 'entry' }, ({ path }) => ({
        contents: entries.get(path),
        resolveDir: root,
      }));
    },
  };
}
