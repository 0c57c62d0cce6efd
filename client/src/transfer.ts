// Many nodes at once: exports and imports as lines of JSON, and copies. Loaded when it is needed.
import { errorOfProblem, isWeirError, WeirError } from './errors.ts';
import { type Http, type HttpRequest, nodeUrl, queryOf } from './http.ts';
import { linkedController } from './time.ts';
import type { CopyResult, ExportEnd, ImportResult, NodeLine, Problem } from './wire.ts';

/** Nodes to import: those that `export` gives, lines of JSON, or a text or bytes with such lines, whole or in pieces. */
export type NodeSource = string | Iterable<SourcePiece> | AsyncIterable<SourcePiece>;
type SourcePiece = NodeLine | ExportEnd | string | Uint8Array;

export interface ImportOptions extends Pick<HttpRequest, 'signal'> {
  /** What to do with a node that exists with other content: fail (default), leave it, or set its data. */
  onConflict?: 'fail' | 'skip' | 'overwrite';
  /** Write nothing, and say what would be done. Lines of more than 8 MiB must be in the order of an export: a node, then all below it. */
  dryRun?: boolean;
  /** Create missing parents as persistent nodes. */
  parents?: boolean;
  /** Takes the place of the path of the first node. */
  path?: string;
}

/** A part of an import that is sent at once. The server makes one transaction, or a few, of it. */
const partLines = 500;
const partLength = 1024 * 1024;
/** Of a dry run as much is sent at once as can be: the server remembers nothing of a part that writes nothing. */
const trialLength = 8 * 1024 * 1024;

export async function* exportNodes(
  http: Http,
  path: string,
  { signal }: Pick<HttpRequest, 'signal'> = {},
): AsyncGenerator<NodeLine, ExportEnd, undefined> {
  const { controller, unlink } = linkedController(signal);
  try {
    const response = await http.stream(`/v1/nodes${nodeUrl(path)}?view=export`, {}, controller.signal);
    const pieces = (response.body ?? []) as AsyncIterable<Uint8Array>;
    for await (const line of linesOf(pieces)) {
      const parsed = JSON.parse(line) as NodeLine | ExportEnd | Problem;
      if ('end' in parsed) return parsed as ExportEnd;
      if ('status' in parsed) throw errorOfProblem(parsed as Problem);
      yield parsed as NodeLine;
    }
    throw new Error('its last line is missing');
  } catch (error) {
    signal?.throwIfAborted();
    if (isWeirError(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const detail = `The export of ${path} broke off: ${reason}. Begin again.`;
    throw new WeirError({ code: 'UNREACHABLE', detail, retryable: true, cause: error });
  } finally {
    controller.abort();
    unlink();
  }
}

export async function importNodes(
  http: Http,
  source: NodeSource,
  { onConflict = 'fail', dryRun = false, parents = false, path, signal }: ImportOptions = {},
): Promise<ImportResult> {
  const query = queryOf({ onConflict, ...(dryRun && { dryRun }), ...(parents && { parents }) });
  const total = { lines: 0, created: 0, overwritten: 0, skipped: 0, same: 0, ephemerals: 0, complete: false, dryRun };
  let [text, count, number, sinceEnd] = ['', 0, 0, 0];
  /** The number of the line before the part. */
  let before = 0;
  let base: string | undefined;
  /** Of a dry run: the nodes above the last line, as they would be; and how many of them stand before the lines of the part. */
  const above: string[] = [];
  let leading = 0;

  const send = async () => {
    const [body, led] = [text, leading];
    [text, count, leading] = ['', 0, 0];
    if (body === '') return;
    const headers = { 'content-type': 'application/x-ndjson' };
    const addDone = (done: ImportResult) =>
      add(total, { ...done, lines: Math.max(0, done.lines - led), created: Math.max(0, done.created - led) });
    try {
      addDone(await http.json<ImportResult>({ method: 'POST', path: `/v1/import${query}`, headers, body, signal }));
    } catch (error) {
      if (!isWeirError(error)) throw error;
      const { line, applied } = error.fields as { line?: number; applied?: ImportResult };
      if (applied) addDone(applied);
      throw withFields(error, { ...(line !== undefined && { line: line - led + before }), applied: total });
    }
    before = number;
  };
  /** An earlier part of a dry run has not created the nodes above the next one: they are sent once more, without their data. */
  const lead = async (next: string) => {
    while (above.length > 0 && !next.startsWith(above.at(-1) === '/' ? '/' : `${above.at(-1)}/`)) above.pop();
    if (count === 0 && before > 0) {
      const absent = await absentOf(http, above, signal);
      text = absent.map((path) => `${JSON.stringify({ path })}\n`).join('');
      leading = absent.length;
    }
    above.push(next);
  };

  for await (const line of linesOf(piecesOf(source))) {
    number += 1;
    const node = JSON.parse(line) as NodeLine | ExportEnd;
    if ('end' in node) {
      if (node.nodes !== sinceEnd) {
        throw new WeirError({
          code: 'BAD_REQUEST',
          detail: `Line ${number} ends an export of ${node.nodes} nodes, and ${sinceEnd} came: lines are missing.`,
          fields: { line: number, applied: total },
        });
      }
      total.complete = true;
      sinceEnd = 0;
      continue;
    }
    total.complete = false;
    sinceEnd += 1;
    base ??= node.path;
    const at = path === undefined ? node.path : placeOf(node.path, base, path);
    const sent = path === undefined ? line : JSON.stringify({ ...node, path: at });
    const isFull = text.length + sent.length > (dryRun ? trialLength : partLength);
    if (count > 0 && (isFull || (!dryRun && count === partLines))) {
      number -= 1;
      await send();
      number += 1;
    }
    if (dryRun) await lead(at);
    text += `${sent}\n`;
    count += 1;
  }
  await send();
  return total;
}

/** Of paths from the top down: the first that does not exist, and all below it. */
async function absentOf(
  http: Http,
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  for (const [index, path] of paths.entries()) {
    try {
      await http.json({ path: `/v1/nodes${nodeUrl(path)}?view=stat`, signal });
    } catch (error) {
      if (!isWeirError(error, 'NO_NODE')) throw error;
      return paths.slice(index);
    }
  }
  return [];
}

export function copyNodes(
  http: Http,
  places: { from: string; to: string },
  { move = false, signal }: Pick<HttpRequest, 'signal'> & { move?: boolean } = {},
): Promise<CopyResult> {
  return http.json({ method: 'POST', path: '/v1/copy', body: { ...places, move }, signal });
}

function placeOf(path: string, base: string, to: string): string {
  if (path === base) return to;
  const prefix = base === '/' ? '/' : `${base}/`;
  if (path.startsWith(prefix)) return `${to === '/' ? '' : to}/${path.slice(prefix.length)}`;
  throw new WeirError({ code: 'BAD_REQUEST', detail: `${path} is not below ${base}, in whose place ${to} comes.` });
}

function add(total: ImportResult, counts: Partial<ImportResult>): void {
  for (const name of ['lines', 'created', 'overwritten', 'skipped', 'same', 'ephemerals'] as const)
    total[name] += counts[name] ?? 0;
}

function withFields(error: WeirError, fields: { readonly [name: string]: unknown }): WeirError {
  const { code, detail, status, retryable, requestId, maybeDone } = error;
  return new WeirError({
    ...{ code, detail, status, retryable, requestId, maybeDone, cause: error },
    fields: { ...error.fields, ...fields },
  });
}

async function* piecesOf(source: NodeSource): AsyncGenerator<string | Uint8Array, void, undefined> {
  if (typeof source === 'string') yield source;
  else {
    for await (const piece of source) {
      if (typeof piece === 'string' || piece instanceof Uint8Array) yield piece;
      else yield `${JSON.stringify(piece)}\n`;
    }
  }
}

/** The lines of a text that comes in pieces, without blank ones. */
async function* linesOf(pieces: AsyncIterable<string | Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + (typeof piece === 'string' ? piece : decoder.decode(piece, { stream: true }))).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield line;
  }
  if (rest.trim() !== '') yield rest;
}
