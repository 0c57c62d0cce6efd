// docs/operations.md ("Limits and defaults") and the code name the same numbers: a limit that is changed or added must be so in both.
import t from 'tap';
import { membersMax, subscriptionBytesMax } from '../../src/broker/groups/group-limits.ts';
import { defaultWatchLimits, type WatchLimits } from '../../src/broker/watches/watch-limits.ts';
import {
  type AdmissionLimits,
  bodyBytes,
  type ConnectionLimits,
  defaultAdmissionLimits,
  defaultConnectionLimits,
  defaultHttpTimeouts,
  type HttpTimeouts,
  headBytesMax,
} from '../../src/http/limits.ts';
import { defaultStoredLimits, type StoredLimits } from '../../src/store/stored-limits.ts';
import {
  defaultPipelineLimits,
  groupFramesWaitingMax,
  type PipelineLimits,
  refusedSocketLimits,
  sessionsPerSocketMax,
  slowReaderBytesMax,
  socketPayloadBytesMax,
  watchesPerSocketMax,
} from '../../src/ws/limits.ts';
import { read } from './repository.ts';

const page = read('docs/operations.md');
const rows = page
  .slice(page.indexOf('## Limits and defaults'), page.indexOf('### Clients and shares'))
  .split('\n')
  .filter((line) => line.startsWith('| '));

/** A number as the tables have it: 16,000. */
const count = (value: number): string => value.toLocaleString('en-US');
/** A size as the tables have it: 64 MiB, 16 KiB. */
const size = (bytes: number): string => (bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`);
const seconds = (ms: number): string => `${ms / 1000} s`;

/** How the row of a limit begins, and what of the limit is in it; or why it has no row. */
type Row = readonly [row: string, ...texts: string[]] | { unlisted: string };

/** @returns the rows that are missing, and the texts that are missing in them */
function missing(expected: { [name: string]: Row }): string[] {
  return Object.entries(expected).flatMap(([name, row]) => {
    if ('unlisted' in row) return [];
    const [begin, ...texts] = row as readonly string[];
    const found = rows.find((each) => each.startsWith(`| ${begin}`));
    if (found === undefined) return [`${name}: no row begins with "${begin}"`];
    // A number is not a part of a longer one.
    const has = (text: string) => new RegExp(`(?<![\\d,.])${text}(?![\\d]|,\\d)`).test(found);
    return texts.filter((text) => !has(text)).map((text) => `${name}: "${text}" is not in the row "${begin}"`);
  });
}

const a = defaultAdmissionLimits;
const admission: Record<keyof AdmissionLimits, Row> = {
  requestsMax: ['the [weight](#weight) of requests', count(a.requestsMax)],
  requestsWaitingMax: ['the [weight](#weight) of requests', count(a.requestsWaitingMax)],
  requestWaitMsMax: ['the [weight](#weight) of requests', seconds(a.requestWaitMsMax)],
  reservedMax: ['the same in the [reserved capacity]', count(a.reservedMax)],
  unknownHandlesMax: ['requests for the reserved capacity', count(a.unknownHandlesMax)],
  unknownHandlesPerSecond: ['requests for the reserved capacity', `${a.unknownHandlesPerSecond} a second`],
  waitsMax: ['long polls and event streams', count(a.waitsMax)],
  uploadsMax: ['NDJSON bodies in progress', count(a.uploadsMax)],
  socketsMax: ['WebSockets |', count(a.socketsMax)],
  watchesMax: ['watches on all sockets', count(a.watchesMax)],
  bodiesBytesMax: ['bytes of bodies in memory', size(a.bodiesBytesMax)],
  reservedBodiesBytesMax: ['bytes of bodies in memory', size(a.reservedBodiesBytesMax)],
  responsesBytesMax: ['bytes of responses that clients have not read', size(a.responsesBytesMax)],
  readersBytesMax: ['bytes that wait in memory for the readers of all', size(a.readersBytesMax)],
  largeReadBytesMax: ['bytes of nodes above 64 KiB', size(a.largeReadBytesMax)],
  largeReadsWaitingMax: ['bytes of nodes above 64 KiB', count(a.largeReadsWaitingMax)],
  largeReadWaitMsMax: ['bytes of nodes above 64 KiB', seconds(a.largeReadWaitMsMax)],
};

const h = defaultHttpTimeouts;
const timeouts: Record<keyof HttpTimeouts, Row> = {
  headMs: ['for the head of a request', count(h.headMs)],
  bodyIdleMs: ['without a byte of a body', count(h.bodyIdleMs)],
  bodyGraceMs: ['for a body: the first', count(h.bodyGraceMs)],
  bodyBytesPerSecondMin: ['for a body: the first', `${h.bodyBytesPerSecondMin} bytes a second`],
  bodyMs: ['for a whole body', count(h.bodyMs)],
  streamIdleMs: ['without a byte of a streamed body', count(h.streamIdleMs)],
  responseIdleMs: ['without a byte of a response', count(h.responseIdleMs)],
  responseGraceMs: ['for a response: the first', count(h.responseGraceMs)],
  responseBytesPerSecondMin: ['for a response: the first', `${1000 / h.responseBytesPerSecondMin} ms for each byte`],
  keepAliveMs: ['between requests on a connection', count(h.keepAliveMs)],
  checkIntervalMs: { unlisted: 'how often the others are looked at' },
};

const c = defaultConnectionLimits;
const connections: Record<keyof ConnectionLimits, Row> = {
  pipelinedMax: ['requests on one connection that wait', count(c.pipelinedMax)],
  spare: ['connections of clients', `${c.spare.ofClient} more of one address`, `${c.spare.total} more of all`],
  lingering: [
    'connections that are read to their end',
    seconds(c.lingering.ms),
    size(c.lingering.bytes),
    count(c.lingering.connections),
  ],
  heldResults: [
    'NDJSON results held back',
    `${size(c.heldResults.streamBytesMax)} for each stream`,
    `${size(c.heldResults.bytesMax)} in total`,
  ],
};

const bodies: Record<keyof typeof bodyBytes | 'head', Row> = {
  head: ['head of a request', size(headBytesMax)],
  little: ['body of another kind', size(bodyBytes.little)],
  list: ['body of another kind', `resets ${size(bodyBytes.list)}`],
  transaction: ['body of another kind', `a transaction ${size(bodyBytes.transaction)}`],
};

const p = defaultPipelineLimits;
const sockets: Record<keyof PipelineLimits, Row> & Record<string, Row> = {
  requestsMax: ['on one `/v1/socket`: pending requests', count(p.requestsMax)],
  operationsMax: ['on one `/v1/socket`: pending requests', count(p.operationsMax)],
  bytesMax: ['on one `/v1/socket`: pending requests', size(p.bytesMax)],
  readBytesMax: ['bytes of nodes and records that one `/v1/socket`', size(p.readBytesMax)],
  readBytesOfAllMax: [
    'bytes of nodes and records that one `/v1/socket`',
    `on all sockets ${size(p.readBytesOfAllMax)}`,
  ],
  bytesOfAllMax: ['bytes of frames with pending requests', size(p.bytesOfAllMax)],
  requestsPerTurn: { unlisted: 'the order in which sockets are served, and no limit' },
  tailLagMsMax: ['how long a response on them waits', count(p.tailLagMsMax)],
  payload: ['a frame from a client', size(socketPayloadBytesMax)],
  slowReader: ['bytes that wait for a slow reader', size(slowReaderBytesMax)],
  watchesOfSocket: ['watches on one socket', count(watchesPerSocketMax)],
  sessionsOfSocket: ['watches on one socket', count(sessionsPerSocketMax)],
  groupFrames: ["frames of a group's socket", count(groupFramesWaitingMax)],
  refused: ['sockets that were refused', count(refusedSocketLimits.openMax), seconds(refusedSocketLimits.openMsMax)],
};

const w = defaultWatchLimits;
const watches: Record<keyof WatchLimits, Row> = {
  readsMax: ['history pages that are read at the same time', `${w.readsMax} for each broker`],
  pageTransactions: ['history pages that are read at the same time', `${w.pageTransactions} transactions`],
  pageBytes: ['history pages that are read at the same time', size(w.pageBytes)],
  pagesKept: { unlisted: 'memory that saves reads' },
  pagesBytesKept: { unlisted: 'memory that saves reads' },
  startsPerCall: { unlisted: 'how calls of the store are joined' },
  slowReaderBytesMax: ['bytes that wait for a slow reader', size(w.slowReaderBytesMax)],
};

const s = defaultStoredLimits;
const stored: Record<keyof StoredLimits, Row> & Record<string, Row> = {
  sessionsMax: ['sessions in total', count(s.sessionsMax)],
  producersMax: ['named producers', count(s.producersMax)],
  fencesMax: ['names of fences in one partition', count(s.fencesMax)],
  responsesMax: ['responses stored for 10 minutes', count(s.responsesMax)],
  responseBytesMax: ['responses stored for 10 minutes', size(s.responseBytesMax)],
  appendsMax: ['the same for the produce requests', count(s.appendsMax)],
  appendBytesMax: ['the same for the produce requests', size(s.appendBytesMax)],
  members: ["a group's partitions; members", count(membersMax)],
  subscriptions: ["a group's partitions; members", size(subscriptionBytesMax)],
};

for (const [name, expected] of Object.entries({ admission, timeouts, connections, bodies, sockets, watches, stored })) {
  t.test(`operations.md has the limits of the code: ${name}`, async (t) => {
    t.same(missing(expected), []);
  });
}

t.test('a number that is not that of the code is found', async (t) => {
  t.match(missing({ wrong: ['long polls and event streams', '1,000'] }), [/"1,000" is not in the row/]);
  t.match(missing({ wrong: ['no such limit', '1'] }), [/no row begins with/]);
});
