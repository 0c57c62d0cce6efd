import { type ErrorCode, errorCatalogue, type Problem } from '../../schemas/errors.ts';

/**
 * An expected failure of the service: a code of the catalogue, a text that says what was wrong with which value, and
 * the fields of the case. Broken invariants throw ordinary errors instead, and reach the caller as INTERNAL.
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ErrorCode;
  /** Fields that stand beside the standard ones in the problem, such as `oldest` or `logStartOffset`. */
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, detail: string, fields: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(detail, options);
    this.code = code;
    this.fields = fields;
  }

  get status(): number {
    return errorCatalogue[this.code].status;
  }

  /** The wire form: the body of an HTTP error, and (with a frame's own fields) the error frame of a socket. */
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

/** The text of a problem after a part of the request was carried out: what it says of nothing holds for the rest only. */
export function afterPartialSuccess(detail: string): string {
  return detail.replace(/\bnothing was (written|done)\b/, 'nothing more was $1');
}

/** The ServiceError that `error` is, or that it carries as its `cause`. */
export function findServiceError(error: unknown): ServiceError | undefined {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof ServiceError) return e;
  return undefined;
}

/** Whether `error` is a ServiceError of the given code, also when it comes wrapped as a `cause`. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof ServiceError && e.code === code) return true;
  return false;
}
