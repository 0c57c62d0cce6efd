// The readers of batches in docs/http.md, as a user would copy them.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { http } from '../helpers/server.ts';
import { startTestBrokers } from '../helpers/topics.ts';

const { newTopic } = await startTestBrokers(t);
const page = readFileSync('docs/http.md', 'utf8');
const section = page.slice(page.indexOf('\n## Batches'));

function example(language: string): string {
  const found = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(section);
  if (!found) throw new Error(`docs/http.md has no example in ${language}`);
  return found[1]!;
}

/** A topic with plain, compressed and cut batches, and its records. */
async function filledTopic(t: Parameters<typeof newTopic>[0]) {
  const topic = await newTopic(t, { config: { 'compression.type': 'gzip' } });
  await http(topic.all, 'POST', { records: [{ key: 'k', value: 'é', headers: { h: 'x' } }, { timestamp: 9 }] });
  await http(topic.all, 'POST', { records: Array(20).fill({ value: 'x'.repeat(100) }) });
  await http(topic.all, 'POST', { records: Array(20).fill({ value: { y: 'y'.repeat(100) } }) });
  const url = `${topic.partition(0)}?offset=1`;
  return { url, records: (await http(url)).body.records };
}

/** Runs a program in a folder of its own. @returns what it prints, as JSON lines */
async function run(t: Parameters<typeof newTopic>[0], command: string, file: string, text: string): Promise<unknown[]> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-batches-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, file), text);
  const { stdout: printed } = await promisify(execFile)(command, [join(folder, file)], { timeout: 60_000 });
  return printed
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

t.test('the reader in JavaScript has every record', async (t) => {
  const { url, records } = await filledTopic(t);
  const use = `for await (const record of records(${JSON.stringify(url)})) console.log(JSON.stringify(record));\n`;
  t.same(await run(t, process.execPath, 'read.mjs', `${example('js')}\n${use}`), records);
});

const hasPython = spawnSync('python3', ['-c', 'assert __import__("sys").version_info >= (3, 8)']).status === 0;

t.test('the reader in Python has every record', { skip: !hasPython && 'python3 is not installed' }, async (t) => {
  const { url, records } = await filledTopic(t);
  const use = `for record in records(${JSON.stringify(url)}): print(json.dumps(record))\n`;
  t.same(await run(t, 'python3', 'read.py', `${example('python')}\n${use}`), records);
});
