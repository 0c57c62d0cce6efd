// The errors of the Kafka REST dialect: a body with `error_code` and `message`, in the codes of Confluent's REST Proxy.
import type { ErrorCode } from '../../../schemas/errors.ts';
import type { ServiceError } from '../../core/service-error.ts';

/** An error that has no counterpart in the error catalogue: its code is the status. */
export class KafkaRestError extends Error {
  readonly status: 406 | 422;

  constructor(status: 406 | 422, message: string) {
    super(message);
    this.status = status;
  }
}

/** Of the records of a produce request: whether the same request may succeed later. */
export const nonRetriable = 50002;
export const retriable = 50003;

/** The codes that differ from the HTTP status. */
const codes: Partial<Record<ErrorCode, number>> = {
  AUTH_REQUIRED: 40101,
  FORBIDDEN: 40301,
  UNKNOWN_TOPIC: 40403,
  UNKNOWN_PARTITION: 40402,
  TOO_MANY_REQUESTS: 42901,
  INTERNAL: nonRetriable,
  STORE_UNAVAILABLE: retriable,
  LOADING: retriable,
  NOT_ENOUGH_REPLICAS: retriable,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: retriable,
  STORE_FULL: retriable,
};

/** The HTTP status and the dialect's code of an error of the catalogue. */
export function statusAndCode({ code, status }: ServiceError): [status: number, code: number] {
  return [status, codes[code] ?? status];
}
