// Appends records to a topic: from arguments, or the lines of stdin or a file.
import type { Appended, Producer, ProducerOptions, RecordInput } from '@weirkeeper/client';
import { type Command, Option } from 'commander';
import type { Cli } from '../cli.ts';
import { usageError } from '../errors.ts';
import { addCommand } from '../help.ts';
import { dryRun, linesOf } from '../input.ts';
import { Progress } from '../progress.ts';
import { recordInputOf } from '../record-lines.ts';
import { pairs, queryText, resourcePath } from '../requests.ts';
import { countText, sizeText } from '../units.ts';
import { collected, integerFrom } from '../values.ts';

/** Results that wait to be printed. */
const unprintedMax = 10_000;

interface ProduceOptions {
  keySeparator?: string;
  key?: string;
  header: string[];
  json?: boolean;
  records?: boolean;
  file?: string;
  partition?: number;
  acks?: '1' | 'all';
  exactlyOnce?: string;
  fence?: string;
}

export function addProduceCommand(program: Command, cli: Cli): void {
  addCommand(program, 'produce <topic> [value...]', {
    summary: 'Append records: each argument, or each line of stdin or of a file',
    description:
      'Appends records to a topic: each argument, or else each line of stdin or of --file. Lines are sent together, in their order, and each is appended once even if a connection breaks meanwhile. The number of records is told on stderr; -o ndjson prints the partition and offset of each.',
    examples: [
      { line: 'weir produce clicks /shop --key ann', says: 'one record' },
      { line: `printf 'ann:/a\\nbob:/b\\n' | weir produce clicks -K :`, says: 'the key before the colon' },
      { line: `echo '{"page":"/"}' | weir produce clicks --json -H source=web -o ndjson`, says: 'values as JSON' },
      { line: 'weir produce clicks --file access.log', says: 'with a progress bar' },
      { line: `weir consume clicks --from earliest -e -o ndjson | weir produce copy --records`, says: 'whole records' },
      { line: 'weir produce clicks /once --exactly-once shop-1', says: 'as a named producer' },
      { line: 'weir produce clicks /fenced --fence nightly=7', says: 'refused if a higher token was seen' },
    ],
  })
    .option('-K, --key-separator <text>', 'what comes before it in a line is the key')
    .option('--key <key>', 'the key of all records')
    .option('-H, --header <name=value>', 'a header of all records; may be repeated', collected, [])
    .option('--json', 'values are JSON, not text')
    .option('--records', 'each line is a record as JSON: {"key","value","headers","partition","timestamp"}')
    .option('--file <file>', 'read the lines of this file; - is stdin')
    .option('-p, --partition <number>', 'the partition; default: chosen by the key', integerFrom(0))
    .addOption(new Option('--acks <acks>', 'all: wait until the replicas of the store have them').choices(['1', 'all']))
    .option('--exactly-once <name>', 'append as this named producer; an older one of the name is fenced')
    .option('--fence <name=token>', 'the fencing token of a lock')
    .action(async (topic: string, values: string[], options: ProduceOptions) => produce(cli, topic, values, options));
}

async function produce(cli: Cli, topic: string, values: string[], options: ProduceOptions): Promise<void> {
  const { acks, exactlyOnce, fence, file, keySeparator, key } = options;
  if (values.length > 0 && file !== undefined) throw usageError('Give values as arguments or as a file, not both.');
  if (keySeparator === '') throw usageError('-K needs a text that separates the key from the value.');
  if (keySeparator !== undefined && key !== undefined) throw usageError('Give -K or --key, not both.');
  const headers = Object.fromEntries(pairs(options.header, '--header'));
  if (cli.globals.dryRun) dryRun(cli, `Would append records to ${topic}.`);
  await cli.tellCurl(`${resourcePath('topics', topic, '/records')}${queryText({ acks })}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...(fence !== undefined && { 'weir-fence': fence }) },
    body: '@-',
  });
  if (values.length === 0 && (file ?? '-') === '-' && cli.io.stdin.isTTY) {
    cli.out.note('Each line is a record. Ctrl-D ends it.');
  }
  const progress = new Progress(cli, sizeText);
  const lines = values.length > 0 ? values : linesOf(cli, file ?? '-', (bytes, of) => progress.show(bytes, of));
  const producerOptions: ProducerOptions = {
    topic,
    ...(acks !== undefined && { acks }),
    ...(exactlyOnce !== undefined && { name: exactlyOnce }),
    ...(fence !== undefined && { fence }),
  };
  const producer = (await cli.weir()).producer(producerOptions);
  const sender = new Sender(cli, producer);
  let isComplete = false;
  try {
    let number = 0;
    for await (const line of lines) {
      number += 1;
      const record = recordInputOf(line, number, options);
      await sender.send({
        ...record,
        ...(Object.keys(headers).length > 0 && { headers: { ...record.headers, ...headers } }),
        ...(options.partition !== undefined && { partition: options.partition }),
      });
    }
    await sender.finish();
    isComplete = true;
  } finally {
    progress.end();
    // What was read is appended, also when the user interrupts the command.
    await producer.close();
    // Of a failure its message says all, unless something was appended before it.
    if (isComplete || sender.appended > 0)
      cli.out.note(`Appended ${countText(sender.appended)} record${sender.appended === 1 ? '' : 's'} to ${topic}.`);
  }
  cli.signal.throwIfAborted();
}

/** Sends records as fast as the server takes them, and stops at the first failure. */
class Sender {
  appended = 0;
  #unprinted = 0;
  readonly #cli: Cli;
  readonly #producer: Producer;
  readonly #pending = new Set<Promise<void>>();
  /** Results are printed in the order of the records. */
  #printed: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(cli: Cli, producer: Producer) {
    this.#cli = cli;
    this.#producer = producer;
  }

  async send(record: RecordInput): Promise<void> {
    await this.#producer.ready();
    if (this.#failure !== undefined) throw this.#failure;
    const sent = this.#producer.send(record);
    const settled = sent.then(
      () => {
        this.appended += 1;
      },
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#pending.add(settled);
    void settled.then(() => this.#pending.delete(settled));
    if (this.#cli.out.format === undefined || this.#cli.out.format === 'table') return;
    // A reader of the results that is slow slows the sending down.
    if (this.#unprinted >= unprintedMax) await this.#printed;
    this.#unprinted += 1;
    const before = this.#printed;
    this.#printed = sent.then(
      async (appended) => {
        await before;
        await this.#print(appended);
        this.#unprinted -= 1;
      },
      () => before,
    );
  }

  /** Waits for the results of all records. @throws the first failure */
  async finish(): Promise<void> {
    await this.#producer.flush();
    await Promise.all(this.#pending);
    await this.#printed;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #print({ partition, offset }: Appended): Promise<void> {
    const isName = this.#cli.out.format === 'name';
    await this.#cli.out.line(isName ? `${partition}:${offset}` : JSON.stringify({ partition, offset }));
  }
}
