// Bundles the programs, each with all of its own modules: to find, read and link those is a third of the CPU of a start. Users and tests
// start these bundles. Tests also import the modules themselves, as they are compiled. Packages are no part of them
// (bundle-packages.mjs): an audit of those that npm installs sees what runs.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { toIndexMap } from './index-map.mjs';

/** Programs by the names of their bundles. Those of a group share what they have in common; few files load sooner than many. */
const groups = [
  { server: 'src/main.js', worker: 'src/workers/worker.js' },
  { weir: 'src/cli/main.js', guard: 'src/cli/guard/guard.js' },
];

/**
 * @param {string} compiled the folder of the compiled modules; what they read stays in it
 * @param {string} folder directly below `compiled`, that gets the programs, all beside each other
 */
export async function bundlePrograms(compiled, folder) {
  const bundles = new Map(
    groups.flatMap((group) => Object.entries(group).map(([name, path]) => [join(compiled, path), `./${name}.js`])),
  );
  for (const group of groups) {
    const entries = Object.entries(group).map(([name, path]) => [name, join(compiled, path)]);
    await build({
      entryPoints: Object.fromEntries(entries),
      outdir: folder,
      chunkNames: 'shared-[hash]',
      bundle: true,
      splitting: true,
      keepNames: true,
      platform: 'node',
      format: 'esm',
      // Traces in the log name lines of the sources. Without the comment that names a map, Node.js reads it for no process under coverage.
      sourcemap: 'external',
      sourcesContent: false,
      logLevel: 'error',
      packages: 'external',
      plugins: [places(folder, bundles, new Set(entries.map(([, path]) => path)))],
    });
  }
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.map'))) {
    const map = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    writeFileSync(join(folder, name), JSON.stringify(toIndexMap(map)));
  }
}

/**
 * A module finds files and programs from where it is, and its bundle is elsewhere: it is told the places where they are from there. A
 * program that starts in the process of another one, as the server does in that of the command line, is loaded as its own bundle.
 * @param {Map<string, string>} bundles by the file of a compiled program, what is imported of it
 * @param {Set<string>} own the compiled programs of this bundle
 * @returns {import('esbuild').Plugin}
 */
function places(folder, bundles, own) {
  return {
    name: 'places',
    setup(build) {
      build.onResolve({ filter: /^\./ }, ({ path, resolveDir }) => {
        const target = join(resolveDir, path);
        const bundle = own.has(target) ? undefined : bundles.get(target);
        return bundle === undefined ? undefined : { path: bundle, external: true };
      });
      build.onLoad({ filter: /\.js$/ }, ({ path }) => ({ contents: withPlaces(path) }));
    },
  };

  function withPlaces(module) {
    const fromBundle = (path) => `new URL(${JSON.stringify(path)}, import.meta.url)`;
    const places = /\bnew URL\('(\.[^']+)', import\.meta\.url\)|\bimport\.meta\.url\b/g;
    return readFileSync(module, 'utf8').replace(places, (_, path) => {
      if (path === undefined) return `${fromBundle(relative(folder, module))}.href`;
      const target = fileURLToPath(new URL(path, pathToFileURL(module)));
      return fromBundle(bundles.get(target) ?? `${relative(folder, target)}${path.endsWith('/') ? '/' : ''}`);
    });
  }
}
