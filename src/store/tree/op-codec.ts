// Encodes operations on the tree as one binary string a request, and decodes the results. The Lua side is lua/lib/requests.lua and
// lua/lib/ops.lua.
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

/** One step of a transaction. */
export type Step =
  | Op
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

/** The content type of a node whose writer gives none, if its data is UTF-8. */
export const textContentType = 'text/plain; charset=utf-8';

const kindCodes = { create: 1, put: 2, set: 3, delete: 4, 'delete-recursive': 5, check: 6, partitions: 7 };
const resultKinds: readonly (OpResult['op'] | undefined)[] = [undefined, 'create', 'set', 'delete', 'check'];
const absent = -1;

/** The bytes of an encoded operation besides its texts and data, of the head of a request, and of the head of a result. */
const operationBytes = 57;
const requestBytes = 9;
const resultBytes = 6;

/** Encodes a request of one transaction, for lua/lib/requests.lua. */
export function encodeRequest(
  operations: readonly Step[],
  options: { privileged?: boolean; idempotency?: IdempotencyKey | undefined },
): Buffer {
  const [id, fingerprint] = idempotencyArguments(options.idempotency);
  const out = new Encoder(
    operations.reduce((sum, op) => sum + encodedSizeMax(op), requestBytes + 3 * (id.length + fingerprint.length)),
  );
  out.byte(options.privileged ? 1 : 0);
  out.whole(operations.length);
  out.short(id);
  out.short(fingerprint);
  for (const operation of operations) pushOp(out, operation);
  return out.encoded();
}

/** Encodes one operation by itself, for ops.read of lua/lib/ops.lua. */
export function encodeOp(operation: Op): Buffer {
  const out = new Encoder(encodedSizeMax(operation));
  pushOp(out, operation);
  return out.encoded();
}

/** The buffer size for an operation: three bytes for each UTF-16 code unit, the most that UTF-8 needs. */
function encodedSizeMax(operation: Step): number {
  const { path, data, contentType = textContentType, session } = operation as { op: string; path: string } & Creation;
  const dataBytes = typeof data === 'string' ? 3 * data.length : (data?.length ?? 0);
  const texts = contentType.length + (session ? session.id.length + session.secretHash.length : 0);
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
    const isNew = op === 'create' || op === 'put';
    const problem =
      isNew && operation.sequential ? sequentialPathProblem(path) : isNew ? newPathProblem(path) : pathProblem(path);
    if (problem) throw new ServiceError('INVALID_PATH', `${shownPath(path)}: ${problem}.`, { path, failed });
  }
}

function pushOp(out: Encoder, operation: Step): void {
  const { op, path } = operation;
  // Each kind of operation has some of these fields; the others are encoded as absent.
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
 * Decodes the result of a request (lua/lib/requests.lua). A replayed result is that of the first request, which may have had more or
 * fewer operations if the broker computed them.
 * @param operations the operations of the request
 */
export function decodeResult(
  encoded: Buffer,
  operations: readonly Step[],
): { replayed: boolean; zxid: number; results: OpResult[] } {
  const results: OpResult[] = [];
  const replayed = encoded[0] === 1;
  let at = 9;
  for (const { path } of operations) {
    const op = resultKinds[encoded[at] ?? 0];
    if (!op && replayed) break;
    if (!op) throw new Error(`The reply has ${results.length} results for ${operations.length} operations`);
    const stat = at + resultBytes;
    const statEnd = stat + encoded[at + 1]!;
    const end = statEnd + encoded.readUInt32BE(at + 2);
    results.push({
      op,
      // The reply has the path only if it is not the requested one (a sequential node).
      path: end > statEnd ? encoded.toString('utf8', statEnd, end) : path,
      stat: statEnd > stat ? decodeStat(encoded.subarray(stat, statEnd)) : undefined,
    });
    at = end;
  }
  return { replayed, zxid: encoded.readDoubleBE(1), results };
}

/** Writes numbers and texts one after the other, big-endian. */
class Encoder {
  readonly #bytes: Buffer;
  #at = 0;

  /** @param sizeMax at least the number of bytes that will be written */
  constructor(sizeMax: number) {
    this.#bytes = Buffer.allocUnsafe(sizeMax);
  }

  byte(value: number): void {
    this.#bytes[this.#at] = value;
    this.#at += 1;
  }

  /** A signed integer of 32 bits. */
  whole(value: number): void {
    this.#at = this.#bytes.writeInt32BE(value, this.#at);
  }

  double(value: number): void {
    this.#at = this.#bytes.writeDoubleBE(value, this.#at);
  }

  /** A text of less than 64 KiB, after its length (16 bits). */
  short(text: string): void {
    const length = this.#put(text, this.#at + 2);
    if (length > 0xffff) throw new Error('A text to encode is over 64 KiB');
    this.#bytes.writeUInt16BE(length, this.#at);
    this.#at += 2 + length;
  }

  /** Text or bytes, after the length (32 bits). */
  long(value: string | Buffer): void {
    const length = this.#put(value, this.#at + 4);
    this.#bytes.writeUInt32BE(length, this.#at);
    this.#at += 4 + length;
  }

  encoded(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  #put(value: string | Buffer, at: number): number {
    if (value.length === 0) return 0;
    return typeof value === 'string' ? this.#bytes.write(value, at) : value.copy(this.#bytes, at);
  }
}
