// Runs a command that needs Chromium, with its place in CHROMIUM_PATH: `node scripts/with-chromium.mjs node scripts/test.mjs …`. Without Chromium it says
// how to get it, and does nothing.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const found = process.env.CHROMIUM_PATH ?? places.find(isProgram);
if (found === undefined) {
  console.log(
    'Skipped: no Chromium was found. Install it (Debian: apt-get install chromium), or name it in CHROMIUM_PATH.',
  );
  process.exit(0);
}
const [program, ...args] = process.argv.slice(2);
const { status } = spawnSync(program, args, {
  stdio: 'inherit',
  shell: false,
  env: { ...process.env, CHROMIUM_PATH: found },
});
process.exit(status ?? 1);

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
