// How operations on the tree go to the store, and how its answers come back: packed, one text a request. The other side is Lua:
// lua/lib/requests.lua and lua/lib/ops.lua.
import type { Stat } from '../../../schemas/common.ts';
import type { CreateMode } from '../../../schemas/nodes.ts';
import { ServiceError } from '../../core/service-error.ts';
import { newPathProblem, pathProblem, sequentialPathProblem, shownPath } from '../../core/tree/path.ts';
import { type IdempotencyKey, idempotencyArguments } from '../idempotency.ts';
import { decodeStat, modeCodes } from './node-codec.ts';
import type { SessionCredential } from './sessions.ts';

interface Written {
  data?: Buffer | string;
  contentType?: string;
}

interface Expected {
  /** -1 or absent = any. */
  version?: number | undefined;
  mzxid?: number | undefined;
}

/** What kind of node it is to be. A node that is there already must be of that kind; without a mode any will do. */
interface Kind {
  mode?: CreateMode;
  ttlMs?: number;
  /** Who owns an ephemeral node; checked whenever it is given. */
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

/** One step of a transaction. */
export type Step =
  | Op
  /**
   * Counts partitions of topics that this transaction makes, or, negative, deletes; refused where there would be more than `most`.
   * `isTrial` = only says whether it would be.
   */
  | { op: 'partitions'; path: typeof topicsNode; add: number; most: number; isTrial?: boolean };

const topicsNode = '/brokers/topics';

export interface OpResult {
  op: 'create' | 'set' | 'delete' | 'check';
  path: string;
  /** Absent for a recursive delete, and for a check that a node is absent. */
  stat: Stat | undefined;
}

/** What a node's content type is when the writer gives none: text if the bytes are UTF-8. */
export const textContentType = 'text/plain; charset=utf-8';

const kindCodes = { create: 1, put: 2, set: 3, delete: 4, 'delete-recursive': 5, check: 6, partitions: 7 };
const resultKinds: readonly (OpResult['op'] | undefined)[] = [undefined, 'create', 'set', 'delete', 'check'];
const absent = -1;

/** The bytes of a packed operation besides its texts and data, and of a request's head. */
const operationBytes = 57;
const requestBytes = 9;
const resultBytes = 6;

/** A request of one transaction, as lua/lib/requests.lua reads it. */
export function encodeRequest(
  operations: readonly Step[],
  options: { privileged?: boolean; idempotency?: IdempotencyKey | undefined },
): Buffer {
  const [id, fingerprint] = idempotencyArguments(options.idempotency);
  const out = new Encoder(
    operations.reduce((sum, op) => sum + roomFor(op), requestBytes + 3 * (id.length + fingerprint.length)),
  );
  out.byte(options.privileged ? 1 : 0);
  out.whole(operations.length);
  out.short(id);
  out.short(fingerprint);
  for (const operation of operations) pushOp(out, operation);
  return out.packed();
}

/** One operation by itself, as ops.read of lua/lib/ops.lua reads it. */
export function encodeOp(operation: Op): Buffer {
  const out = new Encoder(roomFor(operation));
  pushOp(out, operation);
  return out.packed();
}

/** A little more than an operation may need: the longest that its texts can get. */
function roomFor(operation: Step): number {
  const { path, data, contentType = textContentType, session } = operation as { op: string; path: string } & Creation;
  const dataBytes = typeof data === 'string' ? 3 * data.length : (data?.length ?? 0);
  const texts = contentType.length + (session ? session.id.length + session.secretHash.length : 0);
  return operationBytes + 3 * (path.length + texts) + dataBytes;
}

/** The mode of whoever asks for none. */
const anyMode = 0;

/**
 * What is wrong with paths comes before all else, as in ZooKeeper's client. What exists may have a longer path than what is created: it
 * was made when there was no limit.
 * @throws ServiceError INVALID_PATH, with the index of the operation in `failed`
 */
export function checkPaths(operations: readonly Step[]): void {
  for (const [failed, operation] of operations.entries()) {
    const { op, path } = operation;
    const isNew = op === 'create' || op === 'put';
    const problem =
      isNew && operation.sequential ? sequentialPathProblem(path) : isNew ? newPathProblem(path) : pathProblem(path);
    if (problem) throw new ServiceError('INVALID_PATH', `${shownPath(path)}: ${problem}.`, { path, failed });
  }
}

function pushOp(out: Encoder, operation: Step): void {
  const { op, path } = operation;
  // Each kind of operation has some of these; what it has not stays "not given".
  const { data, contentType, version, mzxid, ...creation } = operation as Creation & Written & Expected;
  out.byte(kindCodes[op]);
  const mode = creation.mode ?? (creation.ttlMs === undefined ? undefined : 'ttl');
  out.byte(mode === undefined ? anyMode : modeCodes[mode]);
  out.byte(creation.sequential ? 1 : 0);
  out.byte(creation.parents ? 1 : 0);
  const isCount = op === 'partitions';
  out.byte((op === 'check' && operation.exists === false) || (isCount && operation.isTrial) ? 1 : 0);
  out.double(isCount ? operation.add : (creation.ttlMs ?? 0));
  out.whole(isCount ? operation.most : (version ?? absent));
  out.double(mzxid ?? absent);
  out.double((op === 'check' ? operation.czxid : undefined) ?? absent);
  out.long(path);
  out.long(data ?? '');
  out.short(contentType ?? textContentType);
  out.short(creation.session?.id ?? '');
  out.short(creation.session?.secretHash ?? '');
}

/**
 * Reads the answer to a request (lua/lib/requests.lua). One that is replayed has the results of the operations that were done
 * then: as many as now if a client gave them, else perhaps more or fewer.
 * @param operations those of the request
 */
export function decodeResult(
  packed: Buffer,
  operations: readonly Step[],
): { replayed: boolean; zxid: number; results: OpResult[] } {
  const results: OpResult[] = [];
  const replayed = packed[0] === 1;
  let at = 9;
  for (const { path } of operations) {
    const op = resultKinds[packed[at] ?? 0];
    if (!op && replayed) break;
    if (!op) throw new Error(`The store answered ${results.length} of ${operations.length} operations`);
    const stat = at + resultBytes;
    const statEnd = stat + packed[at + 1]!;
    const end = statEnd + packed.readUInt32BE(at + 2);
    results.push({
      op,
      // MatchedEvents only where it is not the one asked for.
      path: end > statEnd ? packed.toString('utf8', statEnd, end) : path,
      stat: statEnd > stat ? decodeStat(packed.subarray(stat, statEnd)) : undefined,
    });
    at = end;
  }
  return { replayed, zxid: packed.readDoubleBE(1), results };
}

/** Writes numbers and texts one behind the other, big-endian. */
class Encoder {
  readonly #bytes: Buffer;
  #at = 0;

  /** @param room at least what will be written */
  constructor(room: number) {
    this.#bytes = Buffer.allocUnsafe(room);
  }

  byte(value: number): void {
    this.#bytes[this.#at] = value;
    this.#at += 1;
  }

  /** Of 32 bits, signed. */
  whole(value: number): void {
    this.#at = this.#bytes.writeInt32BE(value, this.#at);
  }

  double(value: number): void {
    this.#at = this.#bytes.writeDoubleBE(value, this.#at);
  }

  /** A text of less than 64 KiB, its length before it. */
  short(text: string): void {
    const length = this.#put(text, this.#at + 2);
    if (length > 0xffff) throw new Error('A text to pack is over 64 KiB');
    this.#bytes.writeUInt16BE(length, this.#at);
    this.#at += 2 + length;
  }

  /** Text or bytes, the length before it. */
  long(value: string | Buffer): void {
    const length = this.#put(value, this.#at + 4);
    this.#bytes.writeUInt32BE(length, this.#at);
    this.#at += 4 + length;
  }

  packed(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  #put(value: string | Buffer, at: number): number {
    if (value.length === 0) return 0;
    return typeof value === 'string' ? this.#bytes.write(value, at) : value.copy(this.#bytes, at);
  }
}
