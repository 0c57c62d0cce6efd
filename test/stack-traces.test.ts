// Stack traces in the log name the TypeScript that a developer edits.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { errorForLog, ofSources } from '../src/stack-traces.ts';
import { read } from './house/repository.ts';

const compiled = new URL('../src/core/service-error.js', import.meta.url);
const source = 'src/core/service-error.ts';

/** Line and column, from 1, at which a text first stands. */
function placeOf(text: string, part: string): [line: number, column: number] {
  const before = text.slice(0, text.indexOf(part)).split('\n');
  return [before.length, before.at(-1)!.length + 1];
}

t.test('a place in a compiled module becomes the one in its source', async (t) => {
  const part = 'super(';
  const [line, column] = placeOf(readFileSync(compiled, 'utf8'), part);
  const [sourceLine, sourceColumn] = placeOf(read(source), part);
  t.not(line, sourceLine, 'the two places differ, so that the test shows something');
  const trace = `Error: x\n    at new ServiceError (${compiled}:${line}:${column})\n    at ${compiled}:${line}:${column}`;
  const place = `/${source}:${sourceLine}:${sourceColumn}`;
  const [, first, second] = ofSources(trace).split('\n');
  t.ok(first!.endsWith(`${place})`), first!);
  t.ok(second!.endsWith(place), second!);
});

t.test('a place in the bundle of a program becomes the one in its source', async (t) => {
  const part = 'super(detail, options)';
  const programs = new URL('../programs/', import.meta.url);
  const bundles = readdirSync(programs).filter((name) => name.endsWith('.js'));
  const containing = bundles.filter((name) => readFileSync(new URL(name, programs), 'utf8').includes(part));
  t.not(containing.length, 0, 'the programs have the class');
  const [sourceLine] = placeOf(read(source), part);
  for (const name of containing) {
    const url = new URL(name, programs);
    const [line, column] = placeOf(readFileSync(url, 'utf8'), part);
    const trace = ofSources(`Error: x\n    at new ServiceError (${url}:${line}:${column})`);
    t.match(trace, `/${source}:${sourceLine}:`, name);
  }
});

t.test('what has no source map stays as it is', async (t) => {
  for (const trace of [
    'Error: x\n    at node:internal/process/task_queues:95:5',
    `Error: x\n    at f (${compiled.href.replace('service-error', 'none')}:1:1)`,
    'Error: file:///no/such/folder/x.js:1:1',
    '',
  ]) {
    t.equal(ofSources(trace), trace);
  }
});

t.test('errors are logged with such traces, those of their causes as well', async (t) => {
  const failing = `${compiled}:1:1`;
  const cause = Object.assign(new Error('inner'), { stack: `Error: inner\n    at f (${failing})` });
  const error = Object.assign(new Error('outer', { cause }), { stack: `Error: outer\n    at g (${failing})` });
  const logged = errorForLog(error);
  t.match(logged, { type: 'Error', message: 'outer: inner' });
  t.notMatch(logged.stack, fileURLToPath(compiled));
  t.equal(logged.stack!.match(/src\/core\/service-error\.ts/g)?.length, 2);
});
