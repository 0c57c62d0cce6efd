// Encodes operations on the tree as one binary string a request, and decodes the results. The Lua side is lua/lib/requests.lua and
// lua/lib/ops.lua.
import { z } from 'zod';
import type { CreateMode, Stat } from '../../../schemas/common.ts';
import { type ErrorCode, errorCatalogue } from '../../../schemas/errors.ts';
import type { Creator } from '../../core/creator.ts';
import { ServiceError } from '../../core/service-error.ts';
import { decodeDocument } from '../../core/stored-document.ts';
import { newPathProblem, pathProblem, sequentialPathProblem, shownPath } from '../../core/tree/path.ts';
import { type IdempotencyKey, idempotencyArguments } from '../idempotency.ts';
import { Encoder } from './encoder.ts';
import { decodeStat, modeCodes } from './node-codec.ts';
import type { SessionCredential } from './sessions.ts';

interface Written {
  data?: Buffer | string;
  contentType?: string;
}

interface Expected {
  /** -1 or absent = any version. */
  version?: number | undefined;
  mzxid?: number | undefined;
}

/** The kind of the node. An existing node must have that kind; without a mode, any kind is accepted. */
interface Kind {
  mode?: CreateMode;
  ttlMs?: number;
  /** The session that owns an ephemeral node; it is checked for every kind of node. */
  session?: SessionCredential;
}

interface Creation extends Written, Kind {
  sequential?: boolean;
  /** Create missing parents as persistent nodes. */
  parents?: boolean;
}

/** One operation on the tree. `put` sets the data, or creates the node if it is absent. */
export type Op =
  | ({ op: 'create' | 'put'; path: string } & Creation)
  | ({ op: 'set'; path: string } & Written & Kind & Expected)
  | ({ op: 'delete' | 'delete-recursive'; path: string } & Expected)
  | ({ op: 'check'; path: string; czxid?: number; exists?: boolean } & Expected);

/** What an import does if the node exists with other content. */
export type OnConflict = 'fail' | 'skip' | 'overwrite';

/** One step of a transaction. */
export type Step =
  | Op
  /** Copies a subtree without its ephemeral nodes, or moves it. It must be the only step. */
  | { op: 'copy' | 'move'; path: string; to: string }
  /** Creates the node, or does as said if it exists with other content. `parents` as of a creation. */
  | {
      op: 'import';
      path: string;
      data: Buffer;
      contentType: string;
      mode: CreateMode;
      ttlMs?: number;
      onConflict: OnConflict;
      parents?: boolean;
    }
  /**
   * Adds to the count of all partitions (`add` may be negative), and fails if the count would exceed `most`. `isTrial` = only checks.
   */
  | { op: 'partitions'; path: typeof topicsNode; add: number; most: number; isTrial?: boolean };

const topicsNode = '/brokers/topics';

export interface OpResult {
  op: 'create' | 'set' | 'delete' | 'check';
  path: string;
  /** Absent for a recursive delete, and for a check that a node is absent. */
  stat: Stat | undefined;
}

export interface StepResult extends Omit<OpResult, 'op'> {
  /** `same`, `skip`: an import found the node with the same content, or with other content that it left. */
  op: OpResult['op'] | 'same' | 'skip' | 'copy';
  /** Of a copy or move, whose path is the new one: how many nodes were copied, and how many ephemeral ones left out. */
  copied?: { nodes: number; ephemerals: number };
}

export function isOfSubtree({ op }: Step): boolean {
  return op === 'delete-recursive' || op === 'copy' || op === 'move';
}

/** Whether it is an operation of nodes/transfer. */
export function isTransfer({ op }: Step): boolean {
  return op === 'copy' || op === 'move' || op === 'import';
}

/** What a step can result in. */
export type ResultOf<S extends Step> = S extends Op ? OpResult : StepResult;

/** The content type of a node whose writer gives none, if its data is UTF-8. */
export const textContentType = 'text/plain; charset=utf-8';

const kindCodes = {
  create: 1,
  put: 2,
  set: 3,
  delete: 4,
  'delete-recursive': 5,
  check: 6,
  partitions: 7,
  copy: 8,
  move: 9,
  import: 10,
};
const conflictCodes: Record<OnConflict, number> = { fail: 0, skip: 1, overwrite: 2 };
const resultKinds: readonly (StepResult['op'] | undefined)[] = [
  undefined,
  'create',
  'set',
  'delete',
  'check',
  'same',
  'skip',
  'copy',
];
/** The results that an operation can have. */
const resultsOf: Record<Step['op'], readonly StepResult['op'][]> = {
  create: ['create'],
  put: ['create', 'set'],
  set: ['set'],
  delete: ['delete'],
  'delete-recursive': ['delete'],
  check: ['check'],
  partitions: ['check'],
  copy: ['copy'],
  move: ['copy'],
  import: ['create', 'set', 'same', 'skip'],
};
const absent = -1;

/** The bytes of an encoded operation besides its texts and data, of the head of a request, and of the head of a result. */
const operationBytes = 67;
const requestBytes = 27;
const resultBytes = 6;

/** The flags of a request. */
const privilegedFlag = 1;
const sequencedFlag = 2;
const refusedFlag = 4;
const creatorFlag = 8;
const trialFlag = 16;
/** The bytes of a creator besides its name; a limit that does not exist, and one that is not given. */
const creatorBytes = 26;
const noLimit = -1;
const storedLimit = -2;
/** The first byte of a result: whether it was stored before, and whether it is the error of a refused request. */
const replayedMark = 1;
const refusedMark = 2;

/** The place of a write in the order of the writes of one session (guarantee S5). */
export interface WriteSequence {
  sessionId: string;
  /** The connection epoch that Sessions.attach() gave to the sender. */
  epoch: number;
  /** 1 for the first write of the session, and one more for each. */
  seq: number;
}

interface RequestOptions {
  creator?: Creator | undefined;
  privileged?: boolean;
  idempotency?: IdempotencyKey | undefined;
  sequence?: WriteSequence | undefined;
  trial?: boolean;
}

/** Encodes a request of one transaction, for lua/lib/requests.lua. */
export function encodeRequest(operations: readonly Step[], options: RequestOptions): Buffer {
  const out = encodeHead(
    operations.reduce((sum, op) => sum + encodedSizeMax(op), 0),
    operations.length,
    options,
  );
  for (const operation of operations) pushOp(out, operation);
  return out.encoded();
}

/** Encodes a write that was refused before it was sent: its error is stored as its result, as it has a place in the order. */
export function encodeRefusal({ code, message, fields }: ServiceError, sequence: WriteSequence): Buffer {
  const problem = JSON.stringify({ code, detail: message, fields });
  const out = encodeHead(4 + 3 * problem.length, 0, { sequence }, refusedFlag);
  out.long(problem);
  return out.encoded();
}

function encodeHead(
  sizeMax: number,
  operationCount: number,
  { privileged = false, trial = false, idempotency, creator, sequence }: RequestOptions,
  flags = 0,
): Encoder {
  const [id, fingerprint] = idempotencyArguments(idempotency);
  const texts =
    id.length +
    fingerprint.length +
    (sequence?.sessionId.length ?? 0) +
    (creator ? creatorBytes + creator.name.length : 0);
  const out = new Encoder(sizeMax + requestBytes + 3 * texts);
  out.byte(
    flags +
      (privileged ? privilegedFlag : 0) +
      (sequence ? sequencedFlag : 0) +
      (creator ? creatorFlag : 0) +
      (trial ? trialFlag : 0),
  );
  out.whole(operationCount);
  out.short(id);
  out.short(fingerprint);
  if (creator) {
    const { name, limits } = creator;
    out.short(name);
    for (const limit of ['nodes', 'storedBytes', 'partitions'] as const) {
      out.double(limits ? (limits[limit] ?? noLimit) : storedLimit);
    }
  }
  if (sequence) {
    out.short(sequence.sessionId);
    out.double(sequence.epoch);
    out.double(sequence.seq);
  }
  return out;
}

/** Encodes one operation by itself, for ops.read of lua/lib/ops.lua. */
export function encodeOp(operation: Op): Buffer {
  const out = new Encoder(encodedSizeMax(operation));
  pushOp(out, operation);
  return out.encoded();
}

/** The buffer size for an operation: three bytes for each UTF-16 code unit, the most that UTF-8 needs. */
function encodedSizeMax(operation: Step): number {
  const { path, contentType = textContentType, session } = operation as { op: string; path: string } & Creation;
  const data = dataOf(operation);
  const dataBytes = typeof data === 'string' ? 3 * data.length : (data?.length ?? 0);
  const texts =
    contentType.length + (session ? session.id.length + session.secretHash.length + (session.actsAs?.length ?? 0) : 0);
  return operationBytes + 3 * (path.length + texts) + dataBytes;
}

/** The code of "any mode". */
const anyMode = 0;

/**
 * Validates paths before everything else, as ZooKeeper's client does. The length limit applies to new nodes only: existing ones may be
 * older than the limit.
 * @throws ServiceError INVALID_PATH, with the index of the operation in `failed`
 */
export function checkPaths(operations: readonly Step[]): void {
  for (const [failed, operation] of operations.entries()) {
    const { op, path } = operation;
    const isNew = op === 'create' || op === 'put' || op === 'import';
    const isPrefix = (op === 'create' || op === 'put') && operation.sequential;
    check(path, isPrefix ? sequentialPathProblem(path) : isNew ? newPathProblem(path) : pathProblem(path), failed);
    if (op === 'copy' || op === 'move') check(operation.to, newPathProblem(operation.to), failed);
  }
}

function check(path: string, problem: string | undefined, failed: number): void {
  if (problem) throw new ServiceError('INVALID_PATH', `${shownPath(path)}: ${problem}.`, { path, failed });
}

/** What is encoded as the data of an operation. */
function dataOf(operation: Step): Buffer | string | undefined {
  if (operation.op === 'copy' || operation.op === 'move') return operation.to;
  return (operation as Written).data;
}

/** What is encoded as the version of an operation. */
function versionOf(operation: Step): number {
  if (operation.op === 'partitions') return operation.most;
  if (operation.op === 'import') return conflictCodes[operation.onConflict];
  return (operation as Expected).version ?? absent;
}

function pushOp(out: Encoder, operation: Step): void {
  const { op, path } = operation;
  // Each kind of operation has some of these fields; the others are encoded as absent.
  const { contentType, mzxid, ...creation } = operation as Creation & Written & Expected;
  out.byte(kindCodes[op]);
  const mode = creation.mode ?? (creation.ttlMs === undefined ? undefined : 'ttl');
  out.byte(mode === undefined ? anyMode : modeCodes[mode]);
  out.byte(creation.sequential ? 1 : 0);
  out.byte(creation.parents ? 1 : 0);
  const isCount = op === 'partitions';
  out.byte((op === 'check' && operation.exists === false) || (isCount && operation.isTrial) ? 1 : 0);
  out.double(isCount ? operation.add : (creation.ttlMs ?? 0));
  out.whole(versionOf(operation));
  out.double(mzxid ?? absent);
  out.double((op === 'check' ? operation.czxid : undefined) ?? absent);
  out.long(path);
  out.long(dataOf(operation) ?? '');
  out.short(contentType ?? textContentType);
  out.short(creation.session?.id ?? '');
  out.short(creation.session?.secretHash ?? '');
  out.short(creation.session?.actsAs ?? '');
  out.double(creation.session?.epoch ?? absent);
}

/**
 * Decodes the result of a request (lua/lib/requests.lua). A replayed result is that of the first request, which may have had more or
 * fewer operations if the broker computed them.
 * @param operations the operations of the request
 * @param sequence that of the request
 * @throws ServiceError with which the request was refused (encodeRefusal); OUT_OF_ORDER_SEQUENCE if it repeats the sequence of another
 */
export function decodeResult(
  encoded: Buffer,
  operations: readonly Step[],
  sequence?: WriteSequence,
): { replayed: boolean; zxid: number; results: StepResult[] } {
  const results: StepResult[] = [];
  let isOfRequest = true;
  const mark = encoded.readUInt8(0);
  const replayed = (mark & replayedMark) !== 0;
  if (mark & refusedMark) throw decodeRefusal(encoded.toString('utf8', 1), replayed);
  let at = 9;
  for (const operation of operations) {
    const { op: kind, path } = operation;
    const op = resultKinds[encoded[at] ?? 0];
    isOfRequest &&= op !== undefined && resultsOf[kind].includes(op);
    if (!op && replayed) break;
    if (!op) throw new Error(`The reply has ${results.length} results for ${operations.length} operations`);
    const stat = at + resultBytes;
    const statEnd = stat + encoded.readUInt8(at + 1);
    const end = statEnd + encoded.readUInt32BE(at + 2);
    if (op === 'copy') {
      const [nodes = 0, ephemerals = 0] = encoded.toString('latin1', statEnd, end).split(' ').map(Number);
      const { to = path } = operation as { to?: string };
      results.push({ op, path: to, stat: decodeStat(encoded.subarray(stat, statEnd)), copied: { nodes, ephemerals } });
      at = end;
      continue;
    }
    results.push({
      op,
      // The reply has the path only if it is not the requested one (a sequential node).
      path: end > statEnd ? encoded.toString('utf8', statEnd, end) : path,
      stat: statEnd > stat ? decodeStat(encoded.subarray(stat, statEnd)) : undefined,
    });
    at = end;
  }
  if (sequence && replayed && !(isOfRequest && at === encoded.length)) throw reusedSequence(sequence);
  return { replayed, zxid: encoded.readDoubleBE(1), results };
}

/** The sequence of a write must not be given to another: as far as the stored result shows it, that is refused. */
function reusedSequence({ seq, sessionId }: WriteSequence): ServiceError {
  return new ServiceError(
    'OUT_OF_ORDER_SEQUENCE',
    `Write ${seq} of session ${sessionId} was carried out before, and was another write. Nothing was done; give each write a seq of ` +
      'its own.',
    { seq },
  );
}

const refusalDocument = z.object({
  code: z.custom<ErrorCode>((code) => typeof code === 'string' && Object.hasOwn(errorCatalogue, code)),
  detail: z.string(),
  fields: z.looseObject({}),
});

function decodeRefusal(json: string, replayed: boolean): ServiceError {
  const { code, detail, fields } = decodeDocument('The stored refusal of a write', json, refusalDocument);
  return new ServiceError(code, detail, replayed ? { ...fields, replayed } : { ...fields });
}
