// The JSON of responses. A response to a get or a write is made by a template: JSON.stringify of nested objects takes several times longer.
import type { Stat } from '../../../schemas/common.ts';
import type { RequestId } from '../../../schemas/socket.ts';
import type { ReadSource } from '../../broker/watches/local-nodes.ts';
import type { ServiceError } from '../../core/service-error.ts';

/** What a response says besides its result. */
export interface ResponseMarks {
  /** The newest transaction that it reflects; 0 = it reflects none. */
  zxid?: number;
  replayed?: boolean;
  /** Where the result of a local read came from. */
  read?: ReadSource | undefined;
}

/** @param ok the result, as JSON */
export function okResponse(id: RequestId | undefined, ok: string, marks: ResponseMarks): string {
  return `${headOf(id)}"ok":${ok}${tailOf(marks)}`;
}

export function errorResponse(id: RequestId | undefined, error: ServiceError, marks: ResponseMarks): string {
  const { zxid: _, replayed: __, ...problem } = error.toProblem();
  return `${headOf(id)}"error":${JSON.stringify(problem)}${tailOf(marks)}`;
}

/** The beginning of a response, in ASCII. */
export function headOf(id: RequestId | undefined): string {
  if (id === undefined) return '{';
  return typeof id === 'number' ? `{"id":${id},` : `{"id":${asciiJson(id)},`;
}

function tailOf({ zxid = 0, replayed = false, read }: ResponseMarks): string {
  const source = read ? `,"read":"${read}"` : '';
  return `${zxid > 0 ? `,"zxid":${zxid}` : ''}${replayed ? ',"replayed":true' : ''}${source}}`;
}

const notAscii = /[^ -~]/g;

function asciiJson(text: string): string {
  return JSON.stringify(text).replace(notAscii, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A stat as JSON, its fields in the order of the schema. */
export function statJson(stat: Stat): string {
  const { czxid, mzxid, pzxid, ctime, mtime, version, cversion, aversion, dataLength, numChildren, mode } = stat;
  const owner = stat.ephemeralOwner === null ? 'null' : `"${stat.ephemeralOwner}"`;
  const ttl = stat.ttlMs === undefined ? '' : `,"ttlMs":${stat.ttlMs}`;
  return `{"czxid":${czxid},"mzxid":${mzxid},"pzxid":${pzxid},"ctime":${ctime},"mtime":${mtime},"version":${version},"cversion":${cversion},"aversion":${aversion},"ephemeralOwner":${owner},"dataLength":${dataLength},"numChildren":${numChildren},"mode":"${mode}"${ttl}}`;
}

/** The member `path` of a result, and the comma behind it. */
export function pathJson(path: string): string {
  return `"path":${JSON.stringify(path)},`;
}
