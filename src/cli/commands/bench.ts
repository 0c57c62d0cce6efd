// Measures a server from here: producing, consuming, and the tree. What it makes it also deletes.
import { randomBytes } from 'node:crypto';
import type { Weir } from '@weirkeeper/client';
import { type Command, Option } from 'commander';
import type { Topic } from '../api.ts';
import type { Cli } from '../cli.ts';
import { addCommand, addGroup } from '../help.ts';
import { dryRun } from '../input.ts';
import { Progress } from '../progress.ts';
import { resourcePath } from '../requests.ts';
import { readTopic } from '../topic-reader.ts';
import { countText, sizeText } from '../units.ts';
import { durationMs, integerFrom } from '../values.ts';

interface BenchOptions {
  for: number;
  size: number;
  inFlight: number;
}

interface Measured {
  operations: number;
  bytes: number;
  ms: number;
  /** Of single operations, ms, sorted; empty if they are not measured one by one. */
  durations: number[];
}

/** Durations that are kept; beyond them every n-th is. */
const durationsMax = 100_000;
const partitions = 4;

export function addBenchCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'bench', 'Measure a server from here');

  withOptions(
    addCommand(group, 'produce', {
      summary: 'Measure how fast records are appended',
      description: 'Appends records to a topic of its own for some seconds, and deletes the topic afterwards.',
      examples: [{ line: 'weir bench produce --for 300ms', says: 'records of 100 bytes' }],
    }),
  ).action(async (options: BenchOptions) => {
    await withTopic(cli, async (weir, topic) => report(cli, 'records', await produce(cli, weir, topic, options)));
  });

  withOptions(
    addCommand(group, 'consume', {
      summary: 'Measure how fast records are read',
      description:
        'Appends records to a topic of its own for half of the time, reads all of them, and deletes the topic.',
      examples: ['weir bench consume --for 300ms --size 1000'],
    }),
  ).action(async (options: BenchOptions) => {
    await withTopic(cli, async (weir, topic) => {
      await produce(cli, weir, topic, { ...options, for: options.for / 2 });
      const startedAt = performance.now();
      let operations = 0;
      for await (const _ of readTopic(cli, { topic, start: { at: 'earliest' }, untilEnd: true })) operations += 1;
      await report(cli, 'records', {
        operations,
        bytes: operations * options.size,
        ms: performance.now() - startedAt,
        durations: [],
      });
    });
  });

  withOptions(
    addCommand(group, 'nodes', {
      summary: 'Measure how fast nodes are written and read',
      description:
        'Sets and reads a node of its own for some seconds, half of the time each, and deletes it afterwards.',
      examples: ['weir bench nodes --for 300ms'],
    }),
  ).action(async (options: BenchOptions) => nodes(cli, options));
}

function withOptions(command: Command): Command {
  return command
    .addOption(new Option('--for <duration>', 'how long').argParser(durationMs).default(5000, '5s'))
    .option('--size <bytes>', 'bytes of a value', integerFrom(1), 100)
    .option('--in-flight <number>', 'operations at the same time', integerFrom(1), 100);
}

async function withTopic(cli: Cli, measure: (weir: Weir, topic: string) => Promise<void>): Promise<void> {
  const name = `weir-bench-${randomBytes(4).toString('hex')}`;
  dryRun(cli, `Would create the topic ${name}, and delete it afterwards.`);
  await cli.json<Topic>({ method: 'POST', path: '/v1/topics', body: { name, partitions } });
  const weir = await cli.weir();
  try {
    await measure(weir, name);
  } finally {
    await weir.http.send({ method: 'DELETE', path: resourcePath('topics', name) });
  }
}

function produce(cli: Cli, weir: Weir, topic: string, options: BenchOptions): Promise<Measured> {
  const producer = weir.producer({ topic });
  const value = 'x'.repeat(options.size);
  return measured(cli, options, () => producer.send({ value }), 'records').finally(() => producer.close());
}

async function nodes(cli: Cli, options: BenchOptions): Promise<void> {
  const weir = await cli.weir();
  const path = `/weir-bench-${randomBytes(4).toString('hex')}`;
  const data = 'x'.repeat(options.size);
  dryRun(cli, `Would create the node ${path}, and delete it afterwards.`);
  await weir.tree.create(path, data);
  const half = { ...options, for: options.for / 2 };
  try {
    await report(cli, 'writes', await measured(cli, half, () => weir.tree.set(path, data), 'writes'));
    await report(cli, 'reads', await measured(cli, half, () => weir.tree.get(path), 'reads'));
  } finally {
    await weir.tree.remove(path);
  }
}

/** Does the same again and again, so many at a time, until the time is over. */
async function measured(
  cli: Cli,
  { for: forMs, size, inFlight }: BenchOptions,
  once: () => Promise<unknown>,
  what: string,
): Promise<Measured> {
  const progress = new Progress(cli, (count) => `${countText(count)} ${what}`);
  const durations: number[] = [];
  const startedAt = performance.now();
  let operations = 0;
  const work = async () => {
    for (let now = startedAt; now - startedAt < forMs && !cli.signal.aborted; ) {
      await once();
      const ended = performance.now();
      if (durations.length < durationsMax) durations.push(ended - now);
      else durations[operations % durationsMax] = ended - now;
      now = ended;
      operations += 1;
      progress.show(operations);
    }
  };
  try {
    await Promise.all(Array.from({ length: inFlight }, work));
  } finally {
    progress.end();
  }
  const ms = performance.now() - startedAt;
  return { operations, bytes: operations * size, ms, durations: durations.sort((a, b) => a - b) };
}

async function report(cli: Cli, what: string, { operations, bytes, ms, durations }: Measured): Promise<void> {
  const perSec = Math.round((operations / ms) * 1000);
  const at = (share: number) => durations[Math.min(durations.length - 1, Math.floor(durations.length * share))];
  const [p50Ms, p99Ms] = [at(0.5), at(0.99)].map((value) =>
    value === undefined ? undefined : Number(value.toFixed(2)),
  );
  const body = {
    what,
    count: operations,
    ms: Math.round(ms),
    perSec,
    bytesPerSec: Math.round((bytes / ms) * 1000),
    p50Ms,
    p99Ms,
  };
  const latency = p50Ms === undefined ? '' : `, p50 ${p50Ms} ms, p99 ${p99Ms} ms`;
  await cli.out.show({
    body,
    names: () => [String(perSec)],
    text: () => `${countText(operations)} ${what}: ${countText(perSec)}/s, ${sizeText(body.bytesPerSec)}/s${latency}`,
  });
}
