// One request of a pipelined socket, from its frame to its response.
import type { z } from 'zod';
import { type RequestId, requestSchemas, type SocketOp, type SocketRequest } from '../../../schemas/socket.ts';
import { readInput, withoutHandles } from '../../core/issues.ts';
import type { RequestRecords } from '../../core/records/record-input.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { FrameRequest } from '../../core/socket-frame.ts';
import type { Lane } from './lane.ts';
import { requestTable, sequencedOps } from './request-table.ts';

/** A request as its schema gives it; of produce without its records. */
export type ParsedRequest = { [O in SocketOp]: SocketRequest<O> }[SocketOp];

/** A read of a node, a stat or a list. */
export type ReadRequest = SocketRequest<'get' | 'exists' | 'children'>;

type LocalReadRequest = ReadRequest & { read: 'local' };

/**
 * How a request may overlap with those before it in its lane. Requests of the same run are begun without waiting for each other;
 * the first of another run waits until all before it have their results. `alone` = it overlaps with none. `afterResponses` = it waits
 * until the responses of all before it are sent, as those may wait for events that it would end.
 */
type Run = 'tree' | 'watch' | 'produce' | 'fetch' | 'alone' | 'afterResponses';

export interface PendingRequest {
  readonly id: RequestId | undefined;
  readonly op: SocketOp | 'unknown';
  /** Undefined if there is a problem. */
  readonly request: ParsedRequest | undefined;
  readonly records: RequestRecords | undefined;
  /** Why it is refused without being carried out. */
  readonly problem: ServiceError | undefined;
  /** Its place among the writes of the session, also with a problem. */
  readonly seq: number | undefined;
  /** The bytes of its JSON, how many operations it has, and its weight in admission control. */
  readonly bytes: number;
  readonly operations: number;
  readonly weight: number;
  run: Run;
  /** Whether those behind it wait until it has its result. */
  isBarrier: boolean;
  /** The lane in which it stands: 'tree', or the name of a log or group. */
  readonly laneName: string;
  lane: Lane<PendingRequest> | undefined;
  /** When it arrived, ms, where that is logged. */
  arrivedAt: number;
  /** The JSON of its response; undefined while it has none. */
  response: string | Buffer | undefined;
  /** The newest transaction that the response reflects; 0 = none. */
  zxid: number;
  /** What it counts as in the read budget while it reads; 0 = nothing. */
  expectedBytes: number;
  /** Called once it has its result. */
  onSettled: (() => void) | undefined;
}

const produceHead = requestSchemas.produce.omit({ records: true });

/** Weights: each of these amounts is about the work of one usual request. */
const bytesPerUnit = 16 * 1024;
const operationsPerUnit = 20;
const childrenPerUnit = 250;
const childStatsPerUnit = 50;
const readBytesPerUnit = 48 * 1024;
const recursiveDeleteWeight = 100;

/** Validates a request of a frame. Never throws: what is wrong with it is its `problem`. */
export function readRequest(frame: FrameRequest): PendingRequest {
  const { fields, records, bytes } = frame;
  const id = isRequestId(fields.id) ? fields.id : undefined;
  const op =
    typeof fields.op === 'string' && Object.hasOwn(requestTable, fields.op) ? (fields.op as SocketOp) : 'unknown';
  let problem = frame.problem;
  let request: ParsedRequest | undefined;
  if (!problem) {
    try {
      request = parse(op, fields, records);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      problem = error;
    }
  }
  const { seq } = fields;
  const operations = request?.op === 'multi' ? Math.max(1, request.ops.length) : 1;
  return {
    id,
    op,
    request,
    records,
    problem,
    seq: sequencedOps.has(op) && Number.isSafeInteger(seq) && (seq as number) > 0 ? (seq as number) : undefined,
    bytes,
    operations,
    weight: weightOf(request, bytes, operations),
    run: runOf(request),
    isBarrier: request !== undefined && sequencedOps.has(op) && seq === undefined,
    laneName: laneNameOf(op, fields),
    lane: undefined,
    arrivedAt: 0,
    response: undefined,
    zxid: 0,
    expectedBytes: 0,
    onSettled: undefined,
  };
}

/** Gives a permit back when all of the requests have their results. */
export function releaseWhenSettled(permit: { release(): void }, requests: readonly PendingRequest[]): void {
  let left = requests.length;
  const release = () => {
    left -= 1;
    if (left === 0) permit.release();
  };
  for (const pending of requests) pending.onSettled = release;
}

function isRequestId(id: unknown): id is RequestId {
  return typeof id === 'number' ? Number.isSafeInteger(id) : typeof id === 'string' && id !== '' && id.length <= 256;
}

function parse(
  op: SocketOp | 'unknown',
  fields: Record<string, unknown>,
  records: RequestRecords | undefined,
): ParsedRequest {
  if (op === 'unknown') {
    const is = fields.op === undefined ? 'is missing' : `is ${shown(fields.op)}`;
    throw new ServiceError('BAD_REQUEST', `op ${is}; it must be one of ${Object.keys(requestTable).join(', ')}.`);
  }
  if (op !== 'produce') return readInput(requestSchemas[op] as z.ZodType<ParsedRequest>, fields, op);
  const { records: list, ...head } = fields;
  // The records were read in the frame; in the fields there is something else only if they are no list.
  if (!records) {
    const is = list === undefined ? 'is missing' : 'must be a list';
    throw new ServiceError('BAD_REQUEST', `produce.records: ${is}.`);
  }
  return { ...readInput(produceHead, head, op), records: [] };
}

function shown(value: unknown): string {
  const text = withoutHandles(JSON.stringify(value).slice(0, 240));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** Whether a request is a read that memory may serve. */
export function isLocalRead(request: ParsedRequest | undefined): request is LocalReadRequest {
  return request !== undefined && 'read' in request && request.read === 'local';
}

function runOf(request: ParsedRequest | undefined): Run {
  // Memory may be older than what the response before it will reflect: that must be known first.
  if (isLocalRead(request)) return 'alone';
  switch (request?.op) {
    case 'session':
    case 'commit':
      return 'alone';
    case 'watch':
      return 'watch';
    case 'unwatch':
      return 'afterResponses';
    case 'produce':
      return 'produce';
    case 'fetch':
    case 'offsets':
      return 'fetch';
    default:
      return 'tree';
  }
}

/** Commits of members of up to so many offsets never wait behind other work, as over HTTP. */
const smallCommitMax = 1000;

function isSmall({ memberId, offsets }: SocketRequest<'commit'>): boolean {
  return memberId !== undefined && offsets.length <= smallCommitMax;
}

/** 0 = it has a place in the reserved capacity. */
function weightOf(request: ParsedRequest | undefined, bytes: number, operations: number): number {
  if (request?.op === 'session' && request.attach !== undefined) return 0;
  if (request?.op === 'commit' && isSmall(request)) return 0;
  let weight = 1 + bytes / bytesPerUnit + (operations - 1) / operationsPerUnit;
  if (request?.op === 'children')
    weight += (request.limit ?? 0) / (request.stats ? childStatsPerUnit : childrenPerUnit);
  else if (request?.op === 'fetch') weight += request.maxBytes / readBytesPerUnit;
  else if (request?.op === 'delete' && request.recursive) weight += recursiveDeleteWeight;
  return Math.floor(weight);
}

/** Longer names are not valid. */
const nameLengthMax = 1024;

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= nameLengthMax;
}

/** The lane by the fields as they were sent: a request that is not valid is refused in its place among the others, too. */
function laneNameOf(op: SocketOp | 'unknown', { group, topic, partition }: Record<string, unknown>): string {
  const lane = op === 'unknown' ? 'tree' : requestTable[op].lane;
  if (lane === 'group' && isName(group)) return `group ${group}`;
  if (lane !== 'log' || !isName(topic)) return 'tree';
  return Number.isSafeInteger(partition) ? `log ${topic} ${partition}` : `topic ${topic}`;
}
