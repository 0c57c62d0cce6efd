import { type ErrorCode, errorCatalogue, type Problem } from '../../schemas/errors.ts';

/**
 * An error that is part of the API: a code of the error catalogue, a detail text (what was refused, with which value, and the
 * remedy), and additional fields. Broken invariants throw ordinary errors instead; clients get those as INTERNAL.
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ErrorCode;
  /** Additional fields of the problem document, such as `oldest` or `logStartOffset`. */
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, detail: string, fields: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(detail, options);
    this.code = code;
    this.fields = fields;
  }

  get status(): number {
    return errorCatalogue[this.code].status;
  }

  /** The problem document of RFC 9457: the body of an HTTP error response, and the content of an error frame on a socket. */
  toProblem(): Problem {
    const { status, retryable, summary } = errorCatalogue[this.code];
    return {
      type: `/docs/errors#${this.code}`,
      title: summary,
      status,
      code: this.code,
      detail: this.message,
      retryable,
      ...this.fields,
    };
  }
}

/** Corrects a detail text when earlier parts of the request have succeeded: "nothing was written" becomes "nothing more was written". */
export function afterPartialSuccess(detail: string): string {
  return detail.replace(/\bnothing was (written|done)\b/, 'nothing more was $1');
}

/** The first ServiceError in `error` and its chain of causes; undefined if there is none. */
export function findServiceError(error: unknown): ServiceError | undefined {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof ServiceError) return e;
  return undefined;
}

/** Whether `error`, or one of its chain of causes, is a ServiceError with this code. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof ServiceError && e.code === code) return true;
  return false;
}
