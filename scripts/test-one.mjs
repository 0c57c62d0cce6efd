// Runs the given test files and no others: `npm run test:one -- test/http/routes/nodes.test.ts`. They are compiled already.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const files = process.argv.slice(2);
const compiled = files.map((file) => {
  const path = relative(root, join(process.cwd(), file)).replace(/^build\//, '');
  return join('build', path.replace(/\.ts$/, '.js'));
});
const missing = files.filter(
  (file, index) => !/\.test\.(ts|js)$/.test(file) || !existsSync(join(root, compiled[index])),
);
if (files.length === 0 || missing.length > 0) {
  for (const file of missing) console.error(`${file} is not a test file of this project.`);
  console.error('usage: npm run test:one -- test/FOLDER/FILE.test.ts ...');
  process.exit(2);
}
const { status } = spawnSync(join(root, 'node_modules/.bin/tap'), ['--timeout=600', ...compiled], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);
