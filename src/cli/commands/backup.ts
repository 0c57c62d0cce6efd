// weir backup and weir restore.
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { backUp, type Progress } from '../backup/backup.ts';
import { BackupWriter } from '../backup/backup-file.ts';
import type { EndCounts } from '../backup/backup-lines.ts';
import { type OnConflict, type RestoreOptions, restore, survey } from '../backup/restore.ts';
import { planRestore, type RestorePlan } from '../backup/restore-plan.ts';
import type { Cli } from '../cli.ts';
import { CliError, exitCodes, usageError } from '../errors.ts';
import { addCommand } from '../help.ts';
import { sizeText } from '../units.ts';

/** How long a request is tried: a backup and a restore take long, and a broker may be restarted meanwhile. */
const retryForMs = 60_000;
/** The pause between two lines of progress. */
const progressMs = 200;

interface BackupOptions {
  path: string;
  topics: string[] | false | true;
  tree: boolean;
}

interface RestoreFlags {
  prefix?: string;
  topicPrefix: string;
  onConflict: OnConflict;
  retention: boolean;
}

export function addBackupCommands(program: Command, cli: Cli): void {
  addCommand(program, 'backup <file>', {
    summary: 'Write nodes, topics with records, and committed offsets to a file',
    description:
      'Writes all nodes but those of the service and of sessions, all topics with their settings and records, and the committed offsets of all groups, as lines of JSON. A file whose name ends with .gz is compressed; - is the standard output. What is written while the backup runs may be part of it: nodes as of their time, records up to the ends of the logs when it came to the topics. The last line has counts and a checksum; a file that was cut short is refused by weir restore.',
    examples: [
      { line: 'weir backup backup.ndjson.gz' },
      { line: 'weir backup app.ndjson --path /app --no-topics', says: 'one subtree alone' },
      { line: 'weir backup - --no-tree --topics clicks | gzip >clicks.ndjson.gz' },
    ],
  })
    .option('--path <path>', 'the subtree of nodes', '/')
    .option('--no-tree', 'no nodes')
    .option('--topics <names>', 'these topics alone, with commas between them', (text: string) => text.split(','))
    .option('--no-topics', 'no topics, and no offsets')
    .action((file: string, options: BackupOptions) => backup(cli, file, options));

  addCommand(program, 'restore <file>', {
    summary: 'Bring a backup into a server',
    description:
      'Creates the nodes and topics of a backup, appends the records, and commits the offsets. The records of a partition get offsets from 0 on, and committed offsets are mapped to them. The file is read to its end before anything is written. What exists is a conflict: --dry-run lists conflicts and ends with 7 if there are any; a restore ends with 4 and writes nothing. A restore that was interrupted is repeated with the same command: it goes on where it stopped, and appends no record twice. Use - for the standard input.',
    examples: [
      { line: 'weir restore backup.ndjson.gz --dry-run --prefix /before --topic-prefix before.' },
      {
        line: 'weir restore backup.ndjson.gz --prefix /before --topic-prefix before.',
        says: 'beside what is there',
      },
    ],
  })
    .option('--prefix <path>', 'where the nodes go, in the place of their top; default: where they were')
    .option('--topic-prefix <text>', 'stands before the names of topics and groups', '')
    .addOption(
      new Option(
        '--on-conflict <what>',
        'what to do with nodes that exist with other content; skip leaves topics that exist, too',
      )
        .choices(['fail', 'skip', 'overwrite'])
        .default('fail'),
    )
    .option('--no-retention', 'keep all records: topics get no retention.ms and retention.bytes')
    .action((file: string, flags: RestoreFlags) => bringBack(cli, file, flags));
}

async function backup(cli: Cli, file: string, { path, topics, tree }: BackupOptions): Promise<void> {
  const isStream = file === '-';
  if (isStream && cli.out.isTerminal) throw usageError('A backup is for a file or a pipe: weir backup - >FILE.');
  const writer = isStream ? BackupWriter.toStream((bytes) => cli.out.write(bytes)) : BackupWriter.toFile(file);
  const weir = await cli.newWeir({ retry: { for: retryForMs } });
  try {
    await cli.send({ path: '/health/live' });
    const counts = await backUp(weir, writer, {
      path: tree ? path : undefined,
      includes: (name) => (Array.isArray(topics) ? topics.includes(name) : topics !== false),
      signal: cli.signal,
      progress: throttled(
        cli,
        ({ records, recordsInAll, nodes, bytes }: Progress) =>
          `${nodes} nodes, ${records} of ${recordsInAll} records, ${sizeText(bytes)}`,
      ),
    });
    if (isStream) cli.out.note(summaryOf(counts));
    else await cli.out.show({ body: counts, text: () => summaryOf(counts), names: () => [file] });
  } catch (error) {
    await writer.discard();
    throw error;
  } finally {
    await weir.close();
  }
}

function summaryOf({ nodes, topics, records, offsets, ephemerals, unreadable }: EndCounts): string {
  const lines = [`${nodes} nodes, ${topics} topics with ${records} records, ${offsets} committed offsets.`];
  if (ephemerals > 0) lines.push(`${ephemerals} ephemeral nodes were left out: they belong to sessions.`);
  if (unreadable > 0) lines.push(`${unreadable} subtrees were left out: this identity may not read them.`);
  return lines.join('\n');
}

async function bringBack(cli: Cli, given: string, flags: RestoreFlags): Promise<void> {
  const file = given === '-' ? await spooled(cli) : given;
  const weir = await cli.newWeir({ retry: { for: retryForMs } });
  try {
    const plan = await planRestore(file, flags.topicPrefix);
    await cli.send({ path: '/health/live' });
    const options: RestoreOptions = {
      file,
      plan,
      prefix: flags.prefix,
      topicPrefix: flags.topicPrefix,
      onConflict: flags.onConflict,
      keepsAll: !flags.retention,
      signal: cli.signal,
      progress: throttled(cli, (records: number) => `${records} of ${plan.records} records`),
    };
    const { conflicts, skipped, fewerReplicas, nodes } = await survey(weir, options);
    for (const { topic, had, gets } of fewerReplicas) {
      cli.out.note(
        `${topic} had ${had} replicas and gets ${gets}: there are no more brokers. weir broker reassign adds some later.`,
      );
    }
    if (!options.keepsAll) warnOfRetention(cli, plan);
    if (cli.globals.dryRun) {
      const body = {
        topics: plan.topics.length - skipped.size,
        records: plan.records,
        nodes,
        offsets: plan.offsets,
        conflicts,
      };
      await cli.out.show({ body, text: () => dryRunText(plan, skipped.size, conflicts) });
      if (conflicts.length > 0) throw new CliError('', exitCodes.difference);
      return;
    }
    if (conflicts.length > 0) throw new CliError(`${conflicts.join('\n')}\nNothing was restored.`, exitCodes.conflict);
    const counts = await restore(weir, options, skipped);
    await cli.out.show({
      body: counts,
      text: () =>
        [
          `${counts.nodes.created} nodes were created, ${counts.nodes.overwritten} overwritten, ${counts.nodes.skipped} left as they are, ${counts.nodes.same} were there.`,
          `${counts.topics} topics with ${counts.records} records, ${counts.offsets} committed offsets were restored.`,
          ...(counts.recordsBefore > 0 ? [`${counts.recordsBefore} records had been restored before.`] : []),
        ].join('\n'),
    });
  } finally {
    await weir.close();
    if (given === '-') await rm(file, { force: true });
  }
}

function dryRunText(plan: RestorePlan, skipped: number, conflicts: readonly string[]): string {
  const { nodes, topics, records, offsets, header } = plan;
  const what = `Backup of ${header.createdAt}: ${nodes} nodes, ${topics.length} topics with ${records} records, ${offsets.length} committed offsets.`;
  const left = skipped > 0 ? [`${skipped} topics exist, and would be left as they are.`] : [];
  return [what, ...left, ...(conflicts.length === 0 ? ['Nothing is in the way.'] : conflicts)].join('\n');
}

function warnOfRetention(cli: Cli, { topics }: RestorePlan): void {
  for (const { name, expired } of topics) {
    if (expired === 0) continue;
    cli.out.note(
      `${expired} records of ${name} are older than its retention.ms, and will be removed soon; keep them with --no-retention.`,
    );
  }
}

/** The standard input in a file, as it is read several times. */
async function spooled(cli: Cli): Promise<string> {
  if (cli.io.stdin.isTTY) throw usageError('Name the file of the backup, or give it on the standard input.');
  const path = join(tmpdir(), `weir-restore-${randomUUID()}`);
  await pipeline(cli.io.stdin, createWriteStream(path, { mode: 0o600 }));
  return path;
}

/** Shows progress on a terminal, some times a second. */
function throttled<T>(cli: Cli, textOf: (progress: T) => string): (progress: T) => void {
  let at = 0;
  return (progress) => {
    if (!cli.out.isProgressVisible || performance.now() - at < progressMs) return;
    at = performance.now();
    cli.out.progress(`\r\u001b[K${textOf(progress)}\r`);
  };
}
