// Runs test files one after the other in this process: `node scripts/shared-tests.mjs build/test/core/tree/path.test.js …`. To load tap,
// the packages and the server costs more than most files do with them; scripts/run-test-files.mjs starts this for those that can share it.
// Each file is a test of its own, of which what the file calls `t` stands for.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cpuSeconds } from './cpu-time.mjs';

// The program that started it has been killed: nobody waits for these tests, and for what they have started.
process.once('disconnect', () => process.kill(0, 'SIGTERM'));
process.channel?.unref();

// Before tap is loaded: it puts all arguments into the names of its folders.
const files = process.argv.splice(2);
const { giveTestsTo, t: root } = await import('../build/node_modules/tap/index.js');
const timeoutMs = Number(process.env.TAP_TIMEOUT ?? 300) * 1000;
// Of all files; each has its own below.
root.setTimeout(timeoutMs * files.length);
for (const file of files) {
  const before = cpuSeconds();
  await root.test(file, { timeout: timeoutMs }, async (t) => {
    giveTestsTo(t);
    await import(pathToFileURL(resolve(file)).href);
  });
  if (before !== undefined) process.send?.({ file, cpu: cpuSeconds() - before });
}
