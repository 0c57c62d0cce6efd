// Shows what the server does, each second.
import type { Command } from 'commander';
import type { StatsSample } from '../../../schemas/stats.ts';
import type { Cli } from '../cli.ts';
import { addCommand } from '../help.ts';
import { tableLines } from '../table.ts';
import { countText, sizeText, timeText } from '../units.ts';
import { integerFrom } from '../values.ts';

const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/** Seconds of a sparkline. */
const historyLength = 60;
/** Characters of "event loop lag, ms", and of a value with the gaps around it. */
const longestName = 18;
const valueLength = 14;
/** The first pause before the next attempt to reach a server, and the longest, ms. */
const pauseMs = 200;
const pauseMsMax = 5000;

export function addTopCommand(program: Command, cli: Cli): void {
  addCommand(program, 'top', {
    summary: 'Show what the server does, each second',
    description:
      'Shows requests, records, bytes, connections, memory and lag, each second, with the last minute as a line. In a pipe it prints one line a second; -o ndjson prints the samples of the API.',
    examples: [
      { line: 'weir top', follows: true },
      { line: 'weir top -c 1 -o ndjson', says: 'one sample' },
    ],
  })
    .option('-c, --count <number>', 'end after so many seconds', integerFrom(1))
    .action(async ({ count = Number.POSITIVE_INFINITY }: { count?: number }) => {
      await cli.tellCurl('/v1/stats/stream', { headers: { accept: 'text/event-stream' } });
      let left = count;
      for await (const samples of newestSamples(cli)) {
        await show(cli, samples);
        left -= 1;
        if (left <= 0) break;
      }
      cli.throwUnlessEnded();
    });
}

/** The samples of the last minute, each second. If the broker is lost, those of the next one, which has a minute of its own. */
async function* newestSamples(cli: Cli): AsyncGenerator<readonly StatsSample[], void, undefined> {
  const weir = await cli.follow();
  for (let attempt = 0; !cli.signal.aborted; attempt += 1) {
    const samples: StatsSample[] = [];
    let isNow = false;
    let reason = 'the response has ended';
    try {
      for await (const { data } of weir.serverSentEvents('/v1/stats/stream', cli)) {
        cli.outage.ended();
        attempt = 0;
        const sample = JSON.parse(data) as StatsSample;
        samples.push(sample);
        if (samples.length > historyLength) samples.shift();
        // The last minutes come first, at once.
        isNow ||= sample.at > Date.now() - 2000;
        if (isNow) yield samples;
      }
    } catch (error) {
      if (cli.signal.aborted) return;
      const { isWeirError } = await import('@weirkeeper/client');
      if (isWeirError(error) && !error.retryable) throw error;
      reason = reasonOf(error);
    }
    if (cli.signal.aborted) return;
    cli.outage.began('the server', reason);
    await cli.sleep(Math.min(pauseMsMax, pauseMs * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2));
  }
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}

/** @param samples the last one is that of now */
async function show(cli: Cli, samples: readonly StatsSample[]): Promise<void> {
  const sample = samples.at(-1);
  if (!sample) return;
  const { format, isTerminal } = cli.out;
  if (format === 'json' || format === 'ndjson') {
    await cli.out.line(format === 'json' ? JSON.stringify(sample, undefined, 2) : JSON.stringify(sample));
    return;
  }
  if (!isTerminal) {
    const { at, requestsPerSec, p99Ms, recordsInPerSec, recordsOutPerSec, connections } = sample;
    await cli.out.line(
      `${timeText(at)}  requests/s ${requestsPerSec}  p99 ${p99Ms ?? '-'} ms  in/s ${recordsInPerSec}  out/s ${recordsOutPerSec}  connections ${connections}`,
    );
    return;
  }
  const names = Math.max(longestName, ...sample.lag.map(({ group }) => `lag of ${group}`.length));
  const width = Math.max(1, cli.out.size.columns - names - valueLength);
  const shown = samples.slice(-width);
  const row = (name: string, now: string, of: (each: StatsSample) => number): string[] => [
    name,
    now,
    spark(shown.map(of)),
  ];
  const table = tableLines({
    columns: ['', { title: 'NOW', right: true }, 'LAST MINUTE'],
    rows: [
      row('requests/s', countText(sample.requestsPerSec), (each) => each.requestsPerSec),
      row('p99, ms', String(sample.p99Ms ?? '-'), (each) => each.p99Ms ?? 0),
      row('records in/s', countText(sample.recordsInPerSec), (each) => each.recordsInPerSec),
      row('records out/s', countText(sample.recordsOutPerSec), (each) => each.recordsOutPerSec),
      row('bytes in/s', sizeText(sample.bytesInPerSec), (each) => each.bytesInPerSec),
      row('bytes out/s', sizeText(sample.bytesOutPerSec), (each) => each.bytesOutPerSec),
      row('connections', countText(sample.connections), (each) => each.connections),
      row('watches', countText(sample.watches), (each) => each.watches),
      row('sessions', countText(sample.sessions), (each) => each.sessions),
      row('store memory', sizeText(sample.storeMemoryBytes), (each) => each.storeMemoryBytes),
      row('event loop lag, ms', countText(sample.eventLoopLagMs), (each) => each.eventLoopLagMs),
      ...sample.lag.map(({ group, lag }) =>
        row(`lag of ${group}`, countText(lag), (each) => each.lag.find((one) => one.group === group)?.lag ?? 0),
      ),
    ],
  });
  await cli.out.screen(`${timeText(sample.at)} UTC\n\n${table.join('\n')}`);
}

/** Numbers as a line of bars. */
function spark(values: readonly number[]): string {
  const max = Math.max(...values);
  if (max === 0) return bars[0]?.repeat(values.length) ?? '';
  return values.map((value) => bars[Math.round((value / max) * (bars.length - 1))]).join('');
}
