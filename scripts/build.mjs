// Compiles TypeScript with the given tsconfig into the given folder and copies the Lua scripts beside the
// compiled store, where scripts.js looks for them: `node scripts/build.mjs tsconfig.build.json dist`.
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [project, outDir] = process.argv.slice(2);
if (!project || !outDir) {
  console.error('usage: node scripts/build.mjs <tsconfig> <outDir>');
  process.exit(2);
}

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
