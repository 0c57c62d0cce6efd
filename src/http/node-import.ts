// Imports nodes from lines of JSON: chunk by chunk as they arrive, each chunk one transaction. In memory are one chunk, one piece from
// the network and the incomplete line.
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { z } from 'zod';
import { endLine, type ImportResult, nodeLine } from '../../schemas/transfer.ts';
import { isBase64 } from '../core/base64.ts';
import { readInput } from '../core/issues.ts';
import { readJson, smallJsonLimits } from '../core/json-input.ts';
import { required } from '../core/required.ts';
import { afterPartialSuccess, ServiceError } from '../core/service-error.ts';
import { parentOf, pathProblem, shownPath, withoutTrailingSlash } from '../core/tree/path.ts';
import type { IdempotencyKey } from '../store/idempotency.ts';
import { contentTypeOf } from '../store/tree/content-type.ts';
import type { OnConflict, Step, StepResult } from '../store/tree/op-codec.ts';
import { transactionBytes } from '../store/tree/transaction-limits.ts';
import { bodyLines } from './body-lines.ts';

type ImportOp = Step & { op: 'import' };

interface ImportOptions {
  onConflict: OnConflict;
  dryRun: boolean;
  /** Whether missing parents are created. */
  parents: boolean;
  /** The path that takes the place of that of the first line. */
  to: string | undefined;
  /** Of the whole request; each chunk gets one of its own that follows from it. */
  idempotency: IdempotencyKey | undefined;
  maxNodeBytes: number;
  limits: typeof importLimits;
  countLine(bytes: number): void;
  /** @throws ServiceError if the caller may not import this node */
  requireNode(path: string): void;
  /** Carries out one chunk as a transaction. */
  write(
    ops: ImportOp[],
    bytes: number,
    idempotency: IdempotencyKey | undefined,
  ): Promise<{ zxid: number; replayed: boolean; results: StepResult[] }>;
}

interface Imported {
  result: ImportResult;
  /** Of the last chunk; undefined if there was none. */
  zxid: number | undefined;
  /** Whether every chunk was imported before, with the same key. */
  replayed: boolean;
}

/**
 * A chunk has at most so many nodes, with the parents that it may create, and so many bytes of paths, data and events. One node with its
 * parents may be more.
 */
export const chunkNodesMax = 500;
const chunkBytesMax = 1024 * 1024;
/** How much longer than twice the largest data of a node a line may be, for its path and members. */
const lineExtraBytes = 64 * 1024;

/** Of one import. A dry run keeps the paths of the nodes that it would create, as later lines may be below them. */
export const importLimits = { nodesMax: 1_000_000, trialPathsLengthMax: 8 * 1024 * 1024 };

/**
 * Imports the nodes of `source`.
 * @throws ServiceError of the line that fails, with its number in `line` and in `applied` the counts of what was done: all chunks
 *   before that of the line, and nothing else
 */
export async function importNodes(source: Readable, options: ImportOptions): Promise<Imported> {
  const run = new NodeImport(options);
  try {
    const { maxNodeBytes, countLine } = options;
    const lineBytesMax = 2 * maxNodeBytes + lineExtraBytes;
    const remedy = 'The data of a node are limited by WEIR_MAX_NODE_BYTES.';
    for await (const lines of bodyLines(source, { lineBytesMax, countLine, remedy })) {
      for (const line of lines) await run.take(line.number, line.bytes);
    }
    await run.finish();
  } catch (error) {
    throw run.explain(error);
  }
  return run.outcome;
}

class NodeImport {
  readonly #options: ImportOptions;
  #ops: ImportOp[] = [];
  #numbers: number[] = [];
  #bytes = 0;
  /** The nodes that the chunk may create: those of its lines and, if they are created too, their ancestors. */
  #nodes = new Set<string>();
  #chunks = 0;
  #replayedChunks = 0;
  #zxid: number | undefined;
  /** Of chunks that are done. */
  readonly #applied = { lines: 0, created: 0, overwritten: 0, skipped: 0, same: 0, ephemerals: 0 };
  /** Node lines and ephemeral ones in the chunk that is being filled. */
  #lines = 0;
  #ephemerals = 0;
  #linesInAll = 0;
  /** Node lines since the last end line, or the beginning. */
  #sinceEnd = 0;
  #isComplete = false;
  #base: string | undefined;
  /** The nodes that a dry run would create in earlier chunks. */
  readonly #wouldCreate = new Set<string>();
  #wouldCreateLength = 0;

  constructor(options: ImportOptions) {
    this.#options = options;
  }

  get outcome(): Imported {
    const { dryRun } = this.#options;
    return {
      result: { ...this.#applied, complete: this.#isComplete, dryRun },
      zxid: this.#zxid,
      replayed: this.#chunks > 0 && this.#replayedChunks === this.#chunks,
    };
  }

  /** Takes the next line; when that fills the chunk before it, the chunk is written first. */
  async take(number: number, bytes: Buffer): Promise<void> {
    const where = `line ${number}`;
    try {
      const input = readJson(bytes, `Line ${number}`, smallJsonLimits);
      if (typeof input === 'object' && input !== null && 'end' in input) {
        this.#takeEnd(readInput(endLine, input, where).nodes, where);
        return;
      }
      this.#isComplete = false;
      this.#sinceEnd += 1;
      this.#linesInAll += 1;
      const { nodesMax } = this.#options.limits;
      if (this.#linesInAll > nodesMax) {
        throw new ServiceError('TOO_LARGE', `${where}: one import takes at most ${nodesMax} nodes; split it.`);
      }
      const op = this.#opOf(readInput(nodeLine, input, where), where);
      if (op === undefined) {
        this.#lines += 1;
        this.#ephemerals += 1;
        return;
      }
      let addition = this.#additionOf(op);
      if (!this.#hasRoom(addition)) {
        await this.#writeChunk();
        addition = this.#additionOf(op);
      }
      for (const node of addition.nodes) this.#nodes.add(node);
      this.#bytes += addition.bytes;
      this.#ops.push(op);
      this.#numbers.push(number);
      this.#lines += 1;
    } catch (error) {
      throw error instanceof ServiceError && error.fields.line === undefined ? atLine(error, number) : error;
    }
  }

  /** What an operation adds to the chunk: the nodes that it does not have yet, and bytes. Any ancestor may be missing. */
  #additionOf(op: ImportOp): { nodes: string[]; bytes: number } {
    const parents: string[] = [];
    if (this.#options.parents) {
      for (let at = parentOf(op.path); at !== '/' && !this.#nodes.has(at); at = parentOf(at)) parents.push(at);
    }
    const creations = parents.map((path) => ({ op: 'create', path, data: '' }) as const);
    return { nodes: [op.path, ...parents], bytes: transactionBytes([op, ...creations]) };
  }

  #hasRoom({ nodes, bytes }: { nodes: string[]; bytes: number }): boolean {
    const lines = this.#ops.length;
    if (lines === 0) return true;
    // Several lines may be of one node.
    const hasPlaces = lines < chunkNodesMax && this.#nodes.size + nodes.length <= chunkNodesMax;
    return hasPlaces && this.#bytes + bytes <= chunkBytesMax;
  }

  /** Writes what is left. @throws ServiceError BAD_REQUEST if there were no lines */
  async finish(): Promise<void> {
    if (this.#linesInAll === 0 && !this.#isComplete) {
      throw new ServiceError('BAD_REQUEST', 'The body has no nodes; give one on each line.');
    }
    await this.#writeChunk();
  }

  /** Adds to an error what was done before it. */
  explain(error: unknown): unknown {
    if (!(error instanceof ServiceError)) return error;
    const hasWritten = !this.#options.dryRun && this.#chunks > 0;
    const detail = hasWritten ? afterPartialSuccess(error.message) : error.message;
    const done = hasWritten
      ? `${detail} The ${this.#applied.lines} nodes before were imported (applied); none from there on.`
      : detail;
    return new ServiceError(error.code, done, { ...error.fields, applied: this.#applied }, { cause: error });
  }

  #takeEnd(nodes: number, where: string): void {
    if (nodes !== this.#sinceEnd) {
      throw new ServiceError(
        'BAD_REQUEST',
        `${where} ends an export of ${nodes} nodes, and ${this.#sinceEnd} came: lines are missing. Export again, or leave this line out.`,
      );
    }
    this.#sinceEnd = 0;
    this.#isComplete = true;
  }

  /** @returns undefined for an ephemeral node */
  #opOf(line: z.output<typeof nodeLine>, where: string): ImportOp | undefined {
    const { onConflict, maxNodeBytes, requireNode } = this.#options;
    const { mode, ttlMs } = line;
    const path = this.#placeOf(withoutTrailingSlash(line.path), where);
    if (mode === 'ephemeral') return undefined;
    if ((mode === 'ttl') !== (ttlMs !== undefined)) {
      throw new ServiceError('BAD_REQUEST', `${where}: mode ttl needs ttlMs, and no other mode takes it.`);
    }
    if (line.encoding === 'base64' && !isBase64(line.data)) {
      throw new ServiceError('BAD_REQUEST', `${where}: data is not base64, as its encoding says.`);
    }
    requireNode(path);
    const data = Buffer.from(line.data, line.encoding);
    if (data.length > maxNodeBytes) {
      const detail = `${where}: ${shownPath(path)} was given ${data.length} bytes; a node holds at most ${maxNodeBytes}.`;
      throw new ServiceError('TOO_LARGE', detail, { path, maxBytes: maxNodeBytes });
    }
    const contentType = contentTypeOf(line.contentType, data);
    return { op: 'import', path, data, contentType, mode, onConflict, ...(ttlMs !== undefined && { ttlMs }) };
  }

  /** Where a node goes. @throws ServiceError INVALID_PATH, BAD_REQUEST */
  #placeOf(path: string, where: string): string {
    const problem = pathProblem(path);
    if (problem) throw new ServiceError('INVALID_PATH', `${where}: ${shownPath(path)}: ${problem}.`, { path });
    const { to } = this.#options;
    if (to === undefined) return path;
    this.#base ??= path;
    if (path === this.#base) return to;
    const prefix = this.#base === '/' ? '/' : `${this.#base}/`;
    if (!path.startsWith(prefix)) {
      throw new ServiceError(
        'BAD_REQUEST',
        `${where}: ${shownPath(path)} is not below ${shownPath(this.#base)}, the path of the first line, in whose place ${shownPath(to)} comes.`,
        { path },
      );
    }
    return `${to === '/' ? '' : to}/${path.slice(prefix.length)}`;
  }

  async #writeChunk(): Promise<void> {
    const { write, dryRun, idempotency } = this.#options;
    const [ops, numbers, bytes] = [this.#ops, this.#numbers, this.#bytes];
    if (ops.length > 0) {
      // A dry run did not create the parent that is in an earlier chunk.
      for (const op of ops) if (this.#wouldCreate.has(parentOf(op.path))) op.parents = true;
      [this.#ops, this.#numbers, this.#bytes, this.#nodes] = [[], [], 0, new Set()];
      try {
        const { zxid, replayed, results } = await write(ops, bytes, keyOfChunk(idempotency, ops, this.#chunks));
        this.#zxid = zxid;
        if (replayed) this.#replayedChunks += 1;
        this.#count(ops, results);
      } catch (error) {
        throw atFailed(error, numbers);
      }
      if (dryRun) this.#remember(ops);
    }
    this.#chunks += 1;
    this.#applied.lines += this.#lines;
    this.#applied.ephemerals += this.#ephemerals;
    [this.#lines, this.#ephemerals] = [0, 0];
  }

  #count(ops: readonly ImportOp[], results: readonly StepResult[]): void {
    for (const [index, { op, path }] of results.entries()) {
      // A dry run did not create it in an earlier chunk, so that the store does not know it.
      const isRepeated = op === 'create' && this.#wouldCreate.has(path);
      const { onConflict } = required(ops[index], 'operation of a result');
      if (isRepeated && onConflict === 'fail') {
        const detail = `Node ${path} was in an earlier line.`;
        throw new ServiceError('NODE_EXISTS', detail, { path, failed: index });
      }
      const counted = isRepeated ? (onConflict === 'skip' ? 'skip' : 'set') : op;
      if (counted === 'create') this.#applied.created += 1;
      else if (counted === 'set') this.#applied.overwritten += 1;
      else if (counted === 'skip') this.#applied.skipped += 1;
      else this.#applied.same += 1;
    }
  }

  /** @throws ServiceError TOO_LARGE */
  #remember(ops: readonly ImportOp[]): void {
    for (const { path } of ops) {
      if (this.#wouldCreate.has(path)) continue;
      this.#wouldCreate.add(path);
      this.#wouldCreateLength += path.length;
    }
    const { trialPathsLengthMax } = this.#options.limits;
    if (this.#wouldCreateLength <= trialPathsLengthMax) return;
    throw new ServiceError(
      'TOO_LARGE',
      `A dry run is limited to ${trialPathsLengthMax} characters of paths. Import without dryRun, or split the lines.`,
    );
  }
}

/** The error with the number of its line. */
function atLine(error: ServiceError, line: number): ServiceError {
  const detail =
    error.message.startsWith('line ') || error.message.startsWith('Line ')
      ? error.message
      : `line ${line}: ${error.message}`;
  return new ServiceError(error.code, detail, { ...error.fields, line }, { cause: error });
}

/** The error of a transaction as that of the line of its operation; the first one, if it is of no operation. */
function atFailed(error: unknown, numbers: readonly number[]): unknown {
  if (!(error instanceof ServiceError)) return error;
  const { failed, ...fields } = error.fields;
  const line = required(numbers[typeof failed === 'number' ? failed : 0], 'number of a line');
  return atLine(new ServiceError(error.code, error.message, fields, { cause: error }), line);
}

function keyOfChunk(
  whole: IdempotencyKey | undefined,
  ops: readonly ImportOp[],
  number: number,
): IdempotencyKey | undefined {
  if (!whole) return undefined;
  const hash = createHash('sha256').update(whole.fingerprint);
  for (const { path, mode, ttlMs, contentType, data } of ops) {
    hash.update(JSON.stringify([path, mode, ttlMs, contentType, data.length])).update(data);
  }
  // A line feed cannot stand in a header, so no other key is ever the same.
  return { key: `${whole.key}\n${number}`, fingerprint: hash.digest('base64url') };
}
