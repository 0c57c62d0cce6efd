// Reads records: without a group, or as a member of one.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { CliError, usageError } from '../errors.ts';
import { consumeAsMember } from '../group-reader.ts';
import { addCommand } from '../help.ts';
import { startOf } from '../moments.ts';
import { formatterOf, type PlacedRecord, recordLine, valueBytes } from '../record-text.ts';
import { queryText, resourcePath } from '../requests.ts';
import { readTopic } from '../topic-reader.ts';
import { collectedIntegers, integerFrom } from '../values.ts';

interface ConsumeOptions {
  partition?: number[];
  from?: string;
  count?: number;
  exit?: boolean;
  format?: string;
  group?: string;
  commit: 'auto' | 'none';
  exec?: string;
  member?: string;
}

/** Prints a record, or hands it to a command. */
type Handle = (record: PlacedRecord) => Promise<void>;

export function addConsumeCommand(program: Command, cli: Cli): void {
  addCommand(program, 'consume <topic...>', {
    summary: 'Print the records of a topic, or consume topics as a member of a group',
    description: `Without -g: prints the records of one topic as they are appended. --from says where to begin, -e ends at the end that the topic has now.

With -g: joins the group, which shares the partitions between its members, prints each record, and commits it. On Ctrl-C it commits what was printed and leaves, so that others continue at once. With --exec a shell command gets each value on its stdin, and WEIR_RECORD_TOPIC, _PARTITION, _OFFSET, _KEY and _TIMESTAMP; if it fails, the record is not committed, and weir ends with 1.

Formats (-f): %t topic, %p partition, %o offset, %k key, %v value, %T timestamp, %D date, %h headers, %s bytes of the value, %j everything as JSON; \\n, \\t.`,
    examples: [
      { line: 'weir consume clicks', says: 'what is appended from now on', follows: true },
      { line: 'weir consume clicks --from earliest -e', says: 'everything, then end' },
      { line: 'weir consume clicks --from -2 -e', says: 'the last two' },
      { line: 'weir consume clicks --from @1h -e -o ndjson', says: 'of the last hour, as JSON' },
      { line: `weir consume clicks --from earliest -c 1 -f '%p:%o %k %v\\n'`, says: 'one, in a format' },
      { line: 'weir consume -g mailer clicks --from earliest -e', says: 'as a member of a group' },
      {
        line: `weir consume -g archive clicks --from earliest -c 2 --exec 'cat >>archive.txt'`,
        says: 'a command for each record',
      },
    ],
  })
    .option('-p, --partition <number>', 'only this partition; may be repeated', collectedIntegers)
    .option(
      '--from <where>',
      'earliest, latest, an offset, -10 for the last ten, @TIME; with -g only earliest or latest, where the group has committed nothing',
    )
    .option('-c, --count <number>', 'end after so many records', integerFrom(1))
    .option('-e, --exit', 'end at the end of the topic')
    .option('-f, --format <format>', 'how a record is printed')
    .option('-g, --group <group>', 'consume as a member of this group')
    .option('--member <id>', 'with -g: the id of the member; default: a new one')
    .option('--commit <when>', 'with -g: auto, or none to look without moving the group', 'auto')
    .option('--exec <command>', 'with -g: a shell command that gets each value on its stdin')
    .action(async (topics: string[], options: ConsumeOptions) => {
      if (options.group !== undefined) {
        if (cli.globals.dryRun)
          throw usageError('A member joins its group: there is no dry run. --commit none moves no offset.');
        if (options.partition) throw usageError('The group decides which partitions a member reads: leave out -p.');
        if (!['auto', 'none'].includes(options.commit))
          throw usageError(`--commit is "${options.commit}"; it is auto or none.`);
        return consumeAsMember(cli, topics, { ...options, group: options.group }, printerOf(cli, options));
      }
      if (options.exec !== undefined || options.member !== undefined)
        throw usageError('--exec and --member need a group: -g NAME.');
      return consume(cli, topics, options);
    });
}

async function consume(cli: Cli, topics: string[], options: ConsumeOptions): Promise<void> {
  const [topic] = topics;
  if (topic === undefined || topics.length > 1)
    throw usageError('Without a group one topic is read; several need -g NAME.');
  const { partition: partitions, count = Number.POSITIVE_INFINITY, exit: untilEnd = false } = options;
  const start = startOf(options.from ?? 'latest', Date.now());
  const offset = 'at' in start ? start.at : 'offset' in start ? start.offset : undefined;
  const query = {
    offset,
    timestamp: 'timestamp' in start ? start.timestamp : undefined,
    partition: partitions?.join(','),
  };
  await cli.tellCurl(resourcePath('topics', topic, `/stream${queryText(query)}`), {
    headers: { accept: 'text/event-stream' },
  });
  if (!untilEnd) await cli.follow();
  const print = printerOf(cli, options);
  if (options.from === undefined && !untilEnd && cli.out.isTerminal) {
    cli.out.note(`Waiting for records of ${topic}; --from earliest shows those that are there. Ctrl-C ends it.`);
  }
  let printed = 0;
  const reading = { topic, start, untilEnd, ...(partitions && { partitions }) };
  for await (const record of readTopic(cli, reading)) {
    if (cli.signal.aborted) break;
    await print(record);
    printed += 1;
    if (printed >= count) break;
  }
  cli.throwUnlessEnded();
}

/** How a record is printed: by the format of the user, as JSON, as a line for people, or its value alone. */
function printerOf(cli: Cli, { format }: ConsumeOptions): Handle {
  const { out } = cli;
  if (format !== undefined) {
    if (format === '') throw new CliError('The format is empty.');
    const show = formatterOf(format);
    return (record) => out.write(show(record));
  }
  if (out.format === 'json') return (record) => out.line(JSON.stringify(record, undefined, 2));
  if (out.format === 'ndjson') return (record) => out.line(JSON.stringify(record));
  if (out.format === 'name') return ({ partition, offset }) => out.line(`${partition}:${offset}`);
  if (out.format === 'raw') return (record) => out.write(valueBytes(record));
  if (out.isTerminal) return (record) => out.line(recordLine(record, (text) => out.style('dim', text)));
  return (record) => out.write(Buffer.concat([Buffer.from(valueBytes(record)), Buffer.from('\n')]));
}
