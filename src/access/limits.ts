// The limits of an identity, as a policy writes them: `limits: { requests: 500/s, bytes: 20MiB/s, watches: 10k }`.
import { z } from 'zod';
import { parseSize, sizePattern } from '../../schemas/size.ts';

const KiB = 1024;
/** Below these a single request would keep the identity waiting for minutes, or nothing could be done at all. */
const bytesPerSecondMin = 16 * KiB;
const countMax = 1e12;

const countPattern = /^(\d{1,12})(k|M)?$/;
const countUnits: Record<string, number> = { '': 1, k: 1000, M: 1_000_000 };

function countOf(text: string): number {
  const [, digits, unit = ''] = countPattern.exec(text) ?? [];
  return Number(digits) * (countUnits[unit] ?? Number.NaN);
}

function limit(parse: (text: string) => number, min: number, error: string) {
  // YAML reads digits as a number.
  return z.coerce.string().transform(parse).pipe(z.int({ error }).min(min, error).max(countMax, error));
}

/** A number of things; `100k` and `2M` are decimal. */
function count(min: number) {
  return limit(countOf, min, `must be a whole number of at least ${min}, such as 200, 100k or 2M`);
}

function perSecond(parse: (text: string) => number): (text: string) => number {
  return (text) => (text.endsWith('/s') ? parse(text.slice(0, -2).trim()) : Number.NaN);
}

const sizeOf = (text: string) => (sizePattern.test(text) ? parseSize(text) : Number.NaN);

export const limitsSchema = z.strictObject({
  /** Requests a second: over HTTP, on pipelined sockets, and frames of other sockets. */
  requests: limit(perSecond(countOf), 1, 'must be a number of requests a second, such as 500/s').optional(),
  /** Bytes a second, in bodies and frames, received and sent. */
  bytes: limit(
    perSecond(sizeOf),
    bytesPerSecondMin,
    'must be a size a second of at least 16KiB/s, such as 20MiB/s',
  ).optional(),
  /** Requests being worked at while others wait. */
  inFlight: count(1).optional(),
  /** WebSockets, event streams and long polls that are open. */
  sockets: count(0).optional(),
  /** Watches on sockets, and event streams of a watch. */
  watches: count(0).optional(),
  /** Bytes of the nodes that it has created, and of the logs of its topics. */
  storedBytes: limit(sizeOf, 0, 'must be a size, such as 512MiB, 1GiB or a number of bytes').optional(),
  nodes: count(0).optional(),
  /** Partitions of its topics. */
  partitions: count(0).optional(),
});

/** What an identity may use; what is absent is not limited. */
export type IdentityLimits = Readonly<z.output<typeof limitsSchema>>;
type LimitName = keyof IdentityLimits;

/** The limits of several rules that name one identity: of each the largest counts. @returns undefined if there are none */
export function largestOf(all: readonly (IdentityLimits | undefined)[]): IdentityLimits | undefined {
  const largest: { [Name in LimitName]?: number } = {};
  for (const limits of all) {
    for (const [name, value] of Object.entries(limits ?? {}) as [LimitName, number | undefined][]) {
      if (value !== undefined) largest[name] = Math.max(largest[name] ?? 0, value);
    }
  }
  return Object.keys(largest).length === 0 ? undefined : largest;
}

const units: Record<LimitName, string> = {
  requests: 'requests/s',
  bytes: 'bytes/s',
  inFlight: 'requests in flight',
  sockets: 'open sockets, event streams and long polls',
  watches: 'watches',
  storedBytes: 'stored bytes',
  nodes: 'nodes',
  partitions: 'partitions',
};

/** `billing may have 50 open sockets … (limits.sockets of the policy)`: what the limit is and where it stands. */
export function limitText(identity: string, name: LimitName, max: number): string {
  const verb = name === 'requests' || name === 'bytes' ? 'use' : 'have';
  return `${identity} may ${verb} ${max} ${units[name]} (limits.${name} in the policy)`;
}
