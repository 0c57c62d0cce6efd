// Two systems in turns: A B A B …, so that other work on the machine meets both. What counts is the ratio within each pair.
import type { Round } from './http-load.ts';
import { median, percent, shown } from './measure.ts';
import { Sums, type WatchedRound } from './rounds.ts';

/** One side of a comparison: a round of load, with the CPU time that it cost its servers. */
export type Side = (ms: number) => Promise<WatchedRound & { clientUs: number }>;

export interface PairScale {
  /** Pairs of rounds. */
  rounds: number;
  roundMs: number;
}

/** The scale of a comparison of records. */
export interface RecordScale extends PairScale {
  /** How this server syncs them; the peer was started with the same. */
  sync: 'everysec' | 'always';
}

/** What `--sync` says of records. @throws Error if it is neither of the two */
export function recordSync(option: string): RecordScale['sync'] {
  if (option === 'everysec' || option === 'always') return option;
  throw new Error(`--sync is ${option}; it takes everysec or always`);
}

/** A side whose servers' CPU time `cpuUs` tells; not a number if it cannot be told. */
export function side(run: (ms: number) => Promise<Round>, cpuUs: () => number | undefined): Side {
  return async (ms) => {
    const [before, clientBefore] = [cpuUs() ?? Number.NaN, clientUs()];
    const round = await run(ms);
    return {
      ...round,
      serverUs: (cpuUs() ?? Number.NaN) - before,
      redisUs: 0,
      clientUs: clientUs() - clientBefore,
    };
  };
}

/** Lets a side serve `requests` before it is measured, or as many as it can in `msMax`. */
export async function warmUp(
  side: (ms: number) => Promise<{ requests: number }>,
  requests: number,
  msMax: number,
): Promise<void> {
  const startedAt = performance.now();
  for (let served = 0; served < requests && performance.now() - startedAt < msMax; ) {
    served += (await side(Math.min(250, msMax))).requests;
  }
}

export const pairHead = [
  '',
  'ours/s',
  'peer/s',
  'ours, of peer',
  'pairs from–to',
  'ours p50 / p99 ms',
  'peer p50 / p99 ms',
  'ours CPU µs',
  'peer CPU µs',
  'client CPU µs, ours / peer',
];

/** Measures one warm-up round and `rounds` pairs. @param units how many units of the table one request of each side has */
export async function comparedRow(
  name: string,
  ours: Side,
  peer: Side,
  { rounds, roundMs }: PairScale,
  units: { ours: number; peer: number } = { ours: 1, peer: 1 },
): Promise<string[]> {
  const [own, other, ratios]: [Sums, Sums, number[]] = [new Sums(), new Sums(), []];
  await ours(roundMs);
  await peer(roundMs);
  const clientUsOf = { ours: 0, peer: 0 };
  for (let n = 0; n < rounds; n++) {
    const [mine, theirs] = [await ours(roundMs), await peer(roundMs)];
    ratios.push((own.add(mine).perSecond * units.ours) / (other.add(theirs).perSecond * units.peer));
    clientUsOf.ours += mine.clientUs;
    clientUsOf.peer += theirs.clientUs;
  }
  return [
    name,
    shown(own.rate * units.ours),
    shown(other.rate * units.peer),
    percent(median(ratios)),
    `${percent(Math.min(...ratios))} – ${percent(Math.max(...ratios))}`,
    latencyOf(own),
    latencyOf(other),
    shown(own.serverUsEach / units.ours),
    shown(other.serverUsEach / units.peer),
    [clientUsOf.ours / own.requests / units.ours, clientUsOf.peer / other.requests / units.peer].map(shown).join(' / '),
  ];
}

/** CPU time of this process, which is the client, µs. */
function clientUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Empty for a side that does not time its requests. */
function latencyOf(sums: Sums): string {
  return sums.latencyUs.count === 0 ? '' : `${sums.latencyMs(50)} / ${sums.latencyMs(99)}`;
}
