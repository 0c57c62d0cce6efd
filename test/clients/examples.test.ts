// Runs the programs of examples/python and examples/go (npm run test:clients), and candidates of all languages in one election. What
// they need is installed below build; a language that is not there is not tried, and the output says so.
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { type CommandOf, startExample, terminate, testExamples } from '../recipes/example-suite.ts';

const run = promisify(execFile);
const root = projectRoot();
const built = join(root, 'build/examples');
mkdirSync(built, { recursive: true });
const path = `${process.env.PATH}:/usr/local/go/bin`;
const env = { ...process.env, PATH: path, NODE_OPTIONS: '' };

/** What runs the programs of a language, or why they cannot be run here. */
type Language = { commandOf: CommandOf } | { missing: string };

async function languageOf(install: () => Promise<CommandOf>): Promise<Language> {
  try {
    return { commandOf: await install() };
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string };
    return { missing: (stderr || message).trim().split('\n').slice(-2).join(': ') };
  }
}

const python = await languageOf(async () => {
  const folder = join(built, 'python');
  await run('python3', ['-m', 'venv', folder], { env });
  const requirements = join(root, 'examples/python/requirements.txt');
  await run(join(folder, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', '-r', requirements], {
    env,
  });
  return (program) => [join(folder, 'bin/python'), join(root, `examples/python/${program}.py`)];
});

const go = await languageOf(async () => {
  const folder = join(built, 'go');
  mkdirSync(folder, { recursive: true });
  await run('go', ['build', '-o', `${folder}/`, './...'], { cwd: join(root, 'examples/go'), env });
  return (program) => [join(folder, program)];
});

const node: Language = {
  commandOf: (program) => [process.execPath, join(root, `examples/node/${program}.mjs`)],
};

const { url } = await startTestServer(t);

for (const [name, language] of Object.entries({ python, go })) {
  t.test(name, async (t) => {
    if ('missing' in language) return t.pass(`not tried on this machine: ${language.missing}`);
    testExamples(t, url, name, language.commandOf);
  });
}

t.test('candidates in all languages and in the shell lead one after the other', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'mixed' });
  const languages = Object.entries({ node, python, go }).filter(([, language]) => 'commandOf' in language);
  const candidates = async () => (await http(`${url}/v1/nodes/elections/mixed?view=children`)).body.children ?? [];
  const started = [];
  for (const [name, language] of languages) {
    const { commandOf } = language as { commandOf: CommandOf };
    started.push({ name, example: startExample(t, url, commandOf('leader-election'), 'mixed', name, 'mixed') });
    await eventually(async () => (await candidates()).length === started.length, `${name} is a candidate`);
  }
  process.env.WEIR_URL = url;
  const shell = startExample(t, url, [join(root, 'examples/recipes/election.sh')], 'mixed', 'shell', 'mixed', 'cat');
  await eventually(async () => (await candidates()).length === started.length + 1, 'the script is a candidate');
  for (const { name, example } of started) {
    await eventually(() => example.lines.includes(`${name} leads`), `${name} leads`);
    t.equal(await terminate(example), 0, name);
  }
  shell.child.stdin!.end();
  t.equal(await shell.exited, 0, 'the script has led');
  const { records } = (await http(`${url}/v1/topics/mixed/partitions/0/records?offset=earliest`)).body;
  const leaders: string[] = records.map(({ value }: { value: string }) => value.replace(/ leads.*/s, ''));
  t.same(
    leaders.filter((leader, at) => leader !== leaders[at - 1]),
    [...started.map(({ name }) => name), 'shell'],
    'and nobody has appended after the next',
  );
});
