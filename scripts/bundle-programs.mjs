// Bundles the programs that tests start hundreds of times, each with all of its own modules: to find, read and link those is a third of
// the CPU of a start. The tests import the modules themselves, as they are compiled; what is shipped runs so, too.
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/** What a user, the server or a command starts. */
const programs = ['src/main.js', 'src/workers/worker.js', 'src/cli/main.js', 'src/cli/guard/guard.js'];
/** What they read beside themselves. */
const files = ['src/store/lua', 'openapi.json', 'console-files', 'guide-files'];

/**
 * @param {string} compiled the folder of the compiled tests
 * @param {string} folder that gets the programs, with the paths that they have in `compiled`
 */
export async function bundlePrograms(compiled, folder) {
  await build({
    entryPoints: programs.map((program) => join(compiled, program)),
    outbase: compiled,
    outdir: folder,
    chunkNames: 'shared-[hash]',
    bundle: true,
    splitting: true,
    keepNames: true,
    platform: 'node',
    format: 'esm',
    // Traces in the log name lines of the sources. Without the comment that names a map, Node.js reads it for no process under coverage.
    sourcemap: 'external',
    logLevel: 'error',
    packages: 'external',
    plugins: [ownPlaces(compiled, folder)],
  });
  for (const file of files) {
    const link = join(folder, file);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), join(compiled, file)), link);
  }
}

/**
 * A module finds files and programs from where it is, and a bundle is elsewhere: each gets the place that it would have beside the
 * programs.
 * @returns {import('esbuild').Plugin}
 */
function ownPlaces(compiled, folder) {
  return {
    name: 'places',
    setup(build) {
      build.onLoad({ filter: /\.js$/ }, ({ path }) => {
        const place = JSON.stringify(pathToFileURL(join(folder, relative(compiled, path))).href);
        return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', place) };
      });
    },
  };
}
