// The one error of the client: a problem of the server, or a failure to reach it.
import type { ErrorCode, Problem } from './wire.ts';

/** Failures that the client itself finds. */
export type ClientErrorCode = 'UNREACHABLE' | 'CLOSED' | 'BUFFER_FULL' | 'MISCONFIGURED';

interface WeirErrorFields {
  code: ErrorCode | ClientErrorCode;
  detail: string;
  status?: number;
  retryable?: boolean;
  requestId?: string | undefined;
  maybeDone?: boolean;
  /** What else the problem says, such as `logStartOffset`, `failed` or `oldest`. */
  fields?: { readonly [name: string]: unknown };
  cause?: unknown;
}

/** Why an operation failed. Programs use `code`, people read `detail`. */
export class WeirError extends Error {
  override readonly name = 'WeirError';
  declare readonly code: ErrorCode | ClientErrorCode;
  /** The HTTP status of the problem; 0 if the server gave none. */
  declare readonly status: number;
  /** Whether the same operation may succeed later. */
  declare readonly retryable: boolean;
  declare readonly detail: string;
  /** Names the request in the server's log. */
  declare readonly requestId: string | undefined;
  /** Whether the operation may have taken effect though it failed. */
  declare readonly maybeDone: boolean;
  /** Further fields of the problem, such as `logStartOffset`, `failed` or `oldest`. */
  declare readonly fields: { readonly [name: string]: unknown };

  constructor(fields: WeirErrorFields) {
    const { code, detail, cause } = fields;
    super(`${code}: ${detail}`, { cause });
    Object.assign(this, { status: 0, retryable: false, requestId: undefined, maybeDone: false, fields: {} }, fields);
  }
}

/**
 * Whether `error` is a `WeirError`, and has one of the codes if some are given: `isWeirError(error, 'FENCED')`.
 */
export function isWeirError(error: unknown, ...codes: (ErrorCode | ClientErrorCode)[]): error is WeirError {
  return error instanceof WeirError && (codes.length === 0 || codes.includes(error.code));
}

/** Errors that say that the operation may have been carried out. */
const afterTheFact: ReadonlySet<string> = new Set([
  'INTERNAL',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'STORE_UNAVAILABLE',
]);

/** The error that a problem of the server stands for. */
export function errorOfProblem(problem: Partial<Problem>, requestId?: string): WeirError {
  const {
    type: _type,
    title,
    status = 0,
    code = 'INTERNAL',
    detail = title ?? 'The server gave no reason.',
    retryable = false,
    ...fields
  } = problem;
  return new WeirError({ code, detail, status, retryable, requestId, maybeDone: afterTheFact.has(code), fields });
}

/** Something that only this machine can repair: no attempt to reach a server would help. */
export function misconfigured(detail: string, cause?: unknown): WeirError {
  return new WeirError({ code: 'MISCONFIGURED', detail, cause });
}

/** The same error, of an operation that may have taken effect. */
export function withMaybeDone(error: WeirError): WeirError {
  return error.maybeDone ? error : new WeirError({ ...error, maybeDone: true, cause: error });
}

/** What everything that a closed client is asked to do fails with. */
export function closedError(what: string): WeirError {
  return new WeirError({ code: 'CLOSED', detail: `${what} is closed.` });
}

/** More than a client keeps waits already. @param what waits, as the subject and verb of a sentence */
export function bufferFull(what: string): WeirError {
  return new WeirError({
    code: 'BUFFER_FULL',
    detail: `${what}; wait for results before calling more.`,
    retryable: true,
  });
}

/** Close codes that say that the requests are wrong, or their sender must not send them; 4408 and 4429 pass. */
export function isFatalClose(code: number): boolean {
  return code >= 4400 && code < 4500 && code !== 4408 && code !== 4429;
}

/** What a fatal close code stands for, if no error frame came before it. */
export function refusedSocket(code: number, reason: string): WeirError {
  const detail = `The server has refused the socket: ${code} ${reason}.`;
  return new WeirError({ code: 'BAD_REQUEST', status: code - 4000, detail });
}

/** The server has said that a session has ended. */
export function sessionEnded(id: string): WeirError {
  return new WeirError({ code: 'SESSION_EXPIRED', status: 410, detail: `Session ${id} has ended.` });
}

/** No server has responded for as long as an operation is tried. */
export function noResponse(forMs: number, url: string): WeirError {
  const detail = `No server has responded within ${forMs} ms; the last one tried is ${url}.`;
  return new WeirError({ code: 'UNREACHABLE', detail, retryable: true });
}
