// Clients that generators make of openapi.yaml (npm run check:clients): each is generated as it is, compiled, and makes a round trip. A
// generator that cannot be installed on a machine is not tried there, and the output says so.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { http, startTestServer } from '../helpers/server.ts';
import { installed, openApiGenerator, openApiTypescript, pythonPrograms, run, type Tool } from './tools.ts';

const { url } = await startTestServer(t);
await http(`${url}/v1/nodes/generated`, 'PUT', '');
const root = projectRoot();
const document = join(root, 'openapi.yaml');
const programs = join(root, 'test/generated/programs');
const tsc = join(root, 'node_modules/.bin/tsc');

const work = mkdtempSync(join(tmpdir(), 'weir-clients-'));
t.teardown(() => rmSync(work, { recursive: true, force: true }));

/** A new folder with one of the programs. */
function folderWith(name: string, program: string): string {
  const folder = join(work, name);
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(programs, program), join(folder, program));
  return folder;
}

function isMissing(t: Test, ...tools: Tool<unknown>[]): boolean {
  const missing = tools.flatMap((tool) => ('missing' in tool ? [tool.missing] : []));
  if (missing.length > 0) t.pass(`not tried on this machine: ${missing.join('; ')}`);
  return missing.length > 0;
}

/** What each program prints; a client in another language shows a value and a code in its own way. */
function checkRoundTrip(t: Test, printed: string, value: string, problem: string): void {
  t.same(printed.trim().split('\n'), [
    ...[/^node 201 (\S+)$/.exec(printed.split('\n')[0] ?? '')?.[0], 'read blue', 'session 20000', 'produced 1'],
    ...[`fetched k ${value} 1`, `problem ${problem}`],
  ]);
}

async function compileTypescript(folder: string, program: string): Promise<void> {
  const compilerOptions = {
    ...{ target: 'es2022', module: 'nodenext', moduleResolution: 'nodenext', strict: true, outDir: 'out' },
    ...{ lib: ['es2022', 'dom'], types: [], skipLibCheck: false },
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [program] }));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  // Tap's own options would reach it through the environment.
  await run('env', ['NODE_OPTIONS=', tsc, '-p', folder]);
}

/** It knows few media types: these are bytes to it. Its own formatter need not be installed. */
const pythonConfig = `package_name_override: weirkeeper_client
post_hooks: []
content_type_overrides:
  text/plain: application/octet-stream
  application/x-ndjson: application/octet-stream
  application/vnd.weir.batches: application/octet-stream
  text/event-stream: application/octet-stream
`;

t.test('Python: openapi-python-client', async (t) => {
  const python = await pythonPrograms('openapi-python-client==0.29.1');
  if (isMissing(t, python) || !('found' in python)) return;
  const folder = folderWith('python', 'python-client.py');
  const config = join(folder, 'config.yaml');
  writeFileSync(config, pythonConfig);
  const output = ['--output-path', join(folder, 'weirkeeper_client'), '--meta', 'none'];
  const args = ['generate', '--path', document, ...output, '--config', config, '--fail-on-warning'];
  await run(join(python.found, 'openapi-python-client'), args);
  await run(join(python.found, 'python'), ['-m', 'compileall', '-q', 'weirkeeper_client'], { cwd: folder });
  const printed = await run(join(python.found, 'python'), ['python-client.py', url], { cwd: folder });
  checkRoundTrip(t, printed, "{'n': 1}", 'NO_NODE');
});

t.test('Go: openapi-generator', async (t) => {
  const [jar, go] = await Promise.all([openApiGenerator(), installed('go', 'version')]);
  if (isMissing(t, jar, go) || !('found' in jar)) return;
  const folder = folderWith('go', 'main.go');
  const properties = 'packageName=client,isGoSubmodule=true,withGoMod=false,enumClassPrefix=true';
  const args = ['-jar', jar.found, 'generate', '-i', document, '-g', 'go', '-o', join(folder, 'client')];
  await run('java', [...args, `--additional-properties=${properties}`]);
  rmSync(join(folder, 'client/test'), { recursive: true, force: true });
  writeFileSync(join(folder, 'go.mod'), 'module weirkeeper\n\ngo 1.22\n');
  await run('go', ['mod', 'tidy'], { cwd: folder });
  await run('go', ['vet', './...'], { cwd: folder });
  checkRoundTrip(t, await run('go', ['run', '.', url], { cwd: folder }), 'map[n:1]', '404 NO_NODE');
});

t.test('TypeScript: openapi-generator typescript-fetch', async (t) => {
  const jar = await openApiGenerator();
  if (isMissing(t, jar) || !('found' in jar)) return;
  const folder = folderWith('typescript-fetch', 'typescript-fetch.ts');
  const args = ['-jar', jar.found, 'generate', '-i', document, '-g', 'typescript-fetch', '-o', join(folder, 'client')];
  await run('java', [...args, '--additional-properties=importFileExtension=.js']);
  await compileTypescript(folder, 'typescript-fetch.ts');
  const printed = await run(process.execPath, [join(folder, 'out/typescript-fetch.js'), url]);
  checkRoundTrip(t, printed, '{"n":1}', 'NO_NODE');
});

t.test('TypeScript: openapi-typescript', async (t) => {
  const generator = await openApiTypescript();
  if (isMissing(t, generator) || !('found' in generator)) return;
  const folder = folderWith('openapi-typescript', 'openapi-typescript.ts');
  await run(generator.found, [document, '--default-non-nullable=false', '-o', join(folder, 'schema.d.ts')]);
  await compileTypescript(folder, 'openapi-typescript.ts');
  const printed = await run(process.execPath, [join(folder, 'out/openapi-typescript.js'), url]);
  checkRoundTrip(t, printed, '{"n":1}', 'NO_NODE');
});
