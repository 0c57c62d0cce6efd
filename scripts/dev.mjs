// Serves, and builds and starts the server again whenever a file of it changes: `npm run dev -- --port 7171`. If the build
// fails, the errors are printed and the server that runs goes on.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Editors write several files, or one in several steps: one build for all of them. */
const debounceMs = 200;
let server;
let building = false;
let changed = false;

function start(args) {
  return spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
}

async function stop() {
  if (!server || server.exitCode !== null || server.signalCode !== null) return;
  server.kill('SIGTERM');
  await once(server, 'exit');
}

/** Builds until nothing has changed meanwhile, then starts the server anew: its Redis has to stop before the next one starts. */
async function rebuild() {
  if (building) return;
  building = true;
  let code;
  do {
    changed = false;
    [code] = await once(start(['scripts/build.mjs', 'tsconfig.build.json', 'dist', '--console']), 'exit');
  } while (changed);
  if (code === 0) {
    await stop();
    server = start(['--initial-old-space-size=128', 'dist/programs/server.js', ...process.argv.slice(2)]);
  }
  building = false;
  if (changed) await rebuild();
}

let timer;
for (const folder of ['src', 'schemas', 'console/src']) {
  watch(join(root, folder), { recursive: true }, () => {
    changed = true;
    clearTimeout(timer);
    timer = setTimeout(rebuild, debounceMs);
  });
}
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    await stop();
    process.exit(0);
  });
}
await rebuild();
