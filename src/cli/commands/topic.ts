// Commands about topics: ls, describe, create, alter, rm, truncate, offsets.
import type { Command } from 'commander';
import { parseDuration } from '../../../schemas/duration-text.ts';
import { parseSize } from '../../../schemas/size.ts';
import type { Partition, Topic, TopicOffsets, Topics } from '../api.ts';
import type { Cli } from '../cli.ts';
import { CliError, exitCodes, usageError } from '../errors.ts';
import { addCommand, addGroup } from '../help.ts';
import { confirm, dryRun } from '../input.ts';
import { momentMs } from '../moments.ts';
import { allOf, pairs, queryText, resourcePath } from '../requests.ts';
import { type Table, tableLines } from '../table.ts';
import { countText, sizeText } from '../units.ts';
import { collected, integerFrom } from '../values.ts';

type Config = { [name: string]: string | number | null };

export function addTopicCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'topic', 'Create, describe and change topics');

  addCommand(group, 'ls', {
    summary: 'List the topics with their sizes and rates',
    examples: ['weir topic ls', { line: 'weir topic ls -o name', says: 'names only' }],
  }).action(async () => list(cli));

  addCommand(group, 'describe <topic>', {
    summary: 'Show the settings and partitions of a topic',
    examples: ['weir topic describe clicks'],
  }).action(async (topic: string) => {
    const body = await cli.json<Topic>({ path: resourcePath('topics', topic) });
    await cli.out.show({ body, text: () => topicText(cli, body), names: () => [body.name] });
  });

  addCommand(group, 'create <topic>', {
    summary: 'Create a topic',
    description:
      'Creates a topic; exit code 4 if it exists. Settings have the names of Kafka; a duration or a size may have a unit, such as 7d or 1GiB.',
    examples: [
      'weir topic create orders -p 3',
      { line: 'weir topic create prices -c cleanup.policy=compact -c retention.ms=30d', says: 'with settings' },
    ],
  })
    .option('-p, --partitions <number>', 'number of partitions', integerFrom(1))
    .option('--replication-factor <number>', 'brokers that may maintain each log', integerFrom(1))
    .option('-c, --config <name=value>', 'a setting; may be repeated', collected, [])
    .action(async (name: string, options: { partitions?: number; replicationFactor?: number; config: string[] }) => {
      const { partitions, replicationFactor } = options;
      const config = configOf(options.config);
      dryRun(cli, `Would create ${name} with ${partitions ?? 1} partitions.`);
      const body = await cli.json<Topic>({
        method: 'POST',
        path: '/v1/topics',
        body: {
          name,
          ...(partitions !== undefined && { partitions }),
          ...(replicationFactor !== undefined && { replicationFactor }),
          ...(Object.keys(config).length > 0 && { config }),
        },
      });
      await cli.out.show({
        body,
        names: () => [body.name],
        text: () => `${body.name} with ${body.partitions.length} partition${body.partitions.length === 1 ? '' : 's'}`,
      });
    });

  addCommand(group, 'alter <topic>', {
    summary: 'Add partitions, or change settings',
    description:
      'Adds partitions to a topic or changes its settings; name= resets one to its default. --dry-run prints what would change.',
    examples: [
      'weir topic alter clicks -c retention.ms=1h',
      { line: 'weir topic alter clicks -c retention.bytes= --dry-run', says: 'prints the difference', exit: 0 },
      { line: 'weir topic alter clicks -p 6 --dry-run', exit: 7 },
    ],
  })
    .option('-p, --partitions <number>', 'new number of partitions; it can only grow', integerFrom(1))
    .option('-c, --config <name=value>', 'a setting; may be repeated', collected, [])
    .action(async (topic: string, options: { partitions?: number; config: string[] }) => alter(cli, topic, options));

  addCommand(group, 'rm <topic...>', {
    summary: 'Delete topics with all their records',
    examples: ['weir topic rm scratch --yes'],
  }).action(async (topics: string[]) => {
    dryRun(cli, `Would delete ${topics.join(', ')} with all records.`);
    await confirm(cli, `Delete ${topics.join(', ')} with all records?`);
    for (const topic of topics) await cli.send({ method: 'DELETE', path: resourcePath('topics', topic) });
  });

  addCommand(group, 'truncate <topic>', {
    summary: 'Delete the records before an offset',
    description: 'Deletes the records before an offset; without --before all that are there now.',
    examples: [
      { line: 'weir topic truncate old --before 1 --partition 0 --yes', says: 'the first record of a partition' },
      { line: 'weir topic truncate old --yes', says: 'all records' },
    ],
  })
    .option('--before <offset>', 'the first offset that is kept; latest: none of those that are there', 'latest')
    .option('--partition <number>', 'only this partition', integerFrom(0))
    .action(async (topic: string, options: { before: string; partition?: number }) => truncate(cli, topic, options));

  addCommand(group, 'offsets <topic>', {
    summary: 'Show where the partitions begin, end, or were at a moment',
    examples: [
      'weir topic offsets clicks',
      'weir topic offsets clicks --at earliest',
      { line: 'weir topic offsets clicks --at @1h', says: 'an hour ago' },
    ],
  })
    .option('--at <where>', 'earliest, latest, or @TIME', 'latest')
    .action(async (topic: string, { at }: { at: string }) => {
      const where = at.startsWith('@') ? momentMs(at, Date.now()) : at;
      const body = await cli.json<TopicOffsets>({
        path: resourcePath('topics', topic, `/offsets${queryText({ at: where })}`),
      });
      await cli.out.show({
        body,
        items: () => body.partitions,
        names: () => body.partitions.map(({ partition, offset }) => `${partition}:${offset}`),
        table: () => ({
          columns: [
            { title: 'PARTITION', right: true },
            { title: 'OFFSET', right: true },
          ],
          rows: body.partitions.map(({ partition, offset }) => [partition, offset]),
        }),
      });
    });
}

async function list(cli: Cli): Promise<void> {
  const page = (after: string | undefined) => `/v1/topics${queryText({ view: 'summary', after })}`;
  const topics = await allOf<Topics, Topics['topics'][number]>(cli, page, (each) => each.topics);
  await cli.out.show({
    body: { topics },
    items: () => topics,
    names: () => topics.map(({ name }) => name),
    table: () => ({
      columns: [
        'TOPIC',
        ...['PARTITIONS', 'RECORDS', 'SIZE', 'IN/S', 'OUT/S'].map((title) => ({ title, right: true })),
        'GROUPS (LAG)',
      ],
      rows: topics.map(({ name, partitions, records, bytes, inPerSec, outPerSec, groups = [] }) => [
        name,
        partitions,
        records === null || records === undefined ? '?' : countText(records),
        bytes === null || bytes === undefined ? '?' : sizeText(bytes),
        inPerSec,
        outPerSec,
        groups.map(({ group, lag }) => `${group} (${countText(lag)})`).join(', '),
      ]),
    }),
  });
}

function topicText(cli: Cli, { name, topicId, config, partitions }: Topic): string {
  const title = (text: string) => cli.out.style('bold', text);
  const settings: Table = { columns: ['SETTING', 'VALUE'], rows: Object.entries(config) };
  const table: Table = {
    columns: [
      ...['PARTITION', 'LEADER', 'START', 'END', 'SIZE'].map((each) => ({ title: each, right: true })),
      'REPLICAS',
      'ISR',
    ],
    rows: partitions.map(({ partition, leader, logStartOffset, endOffset, bytes, replicas, isr }) => [
      partition,
      leader === -1 ? cli.out.style('red', 'none') : leader,
      logStartOffset,
      endOffset,
      bytes === null ? '?' : sizeText(bytes),
      replicas.join(','),
      isr.join(','),
    ]),
  };
  return [`${name}  (${topicId})`, '', ...tableLines(settings, title), '', ...tableLines(table, title)].join('\n');
}

function configOf(texts: readonly string[]): Config {
  return Object.fromEntries(
    pairs(texts, '--config').map(([name, value]) => [name, value === '' ? null : settingOf(name, value)]),
  );
}

/** A number, also of a duration or a size as people write them: `retention.ms=7d`, `retention.bytes=1GiB`. */
function settingOf(name: string, value: string): string | number {
  const number = name.endsWith('.ms') ? parseDuration(value) : name.endsWith('.bytes') ? parseSize(value) : undefined;
  if (number !== undefined && Number.isSafeInteger(number)) return number;
  return /^-?\d{1,15}$/.test(value) ? Number(value) : value;
}

async function alter(
  cli: Cli,
  topic: string,
  { partitions, config: texts }: { partitions?: number; config: string[] },
) {
  const config = configOf(texts);
  if (partitions === undefined && texts.length === 0)
    throw usageError('Say what to change: -p NUMBER, or -c NAME=VALUE.');
  if (cli.globals.dryRun) {
    const now = await cli.json<Topic>({ path: resourcePath('topics', topic) });
    const settings = now.config as Record<string, string | number>;
    const changes = Object.entries(config).filter(([name, value]) => value !== null && settings[name] !== value);
    const lines = changes.map(([name, value]) => `${name}: ${settings[name]} → ${value}`);
    if (partitions !== undefined && partitions !== now.partitions.length)
      lines.push(`partitions: ${now.partitions.length} → ${partitions}`);
    for (const [name, value] of Object.entries(config))
      if (value === null) cli.out.note(`${name}: ${settings[name]} → its default`);
    for (const line of lines) await cli.out.line(line);
    if (lines.length > 0) throw new CliError('', exitCodes.difference);
    return;
  }
  const body = await cli.json<Topic>({
    method: 'PATCH',
    path: resourcePath('topics', topic),
    body: { ...(partitions !== undefined && { partitions }), ...(texts.length > 0 && { config }) },
  });
  await cli.out.show({ body, names: () => [body.name], text: () => topicText(cli, body) });
}

async function truncate(
  cli: Cli,
  topic: string,
  { before, partition }: { before: string; partition?: number },
): Promise<void> {
  if (!/^(latest|\d{1,15})$/.test(before)) throw usageError(`--before is "${before}"; it is an offset, or latest.`);
  const described = await cli.json<Topic>({ path: resourcePath('topics', topic) });
  const wanted = described.partitions.filter((each) => partition === undefined || each.partition === partition);
  if (wanted.length === 0) throw new CliError(`Topic ${topic} has no partition ${partition}.`, exitCodes.notFound);
  const doomed = wanted.reduce((sum, each) => sum + recordsBefore(each, before), 0);
  dryRun(cli, `Would delete ${countText(doomed)} records of ${topic}.`);
  await confirm(cli, `Delete ${countText(doomed)} records of ${topic}?`);
  const results: { partition: number; logStartOffset: number; endOffset: number }[] = [];
  for (const each of wanted) {
    const path = resourcePath('topics', topic, `/partitions/${each.partition}/records${queryText({ before })}`);
    results.push(await cli.json({ method: 'DELETE', path }));
  }
  await cli.out.show({
    body: { topic, partitions: results },
    items: () => results,
    table: () => ({
      columns: ['PARTITION', 'START', 'END'].map((title) => ({ title, right: true })),
      rows: results.map((each) => [each.partition, each.logStartOffset, each.endOffset]),
    }),
  });
}

function recordsBefore({ logStartOffset, endOffset }: Partition, before: string): number {
  const [start, end] = [logStartOffset ?? 0, endOffset ?? 0];
  return Math.max(0, (before === 'latest' ? end : Math.min(end, Number(before))) - start);
}
