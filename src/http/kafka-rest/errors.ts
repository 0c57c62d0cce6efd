// The errors of the Kafka REST dialect: a body with `error_code` and `message`, in the codes of Confluent's REST Proxy.
import type { ErrorCode } from '../../../schemas/errors.ts';
import type { ServiceError } from '../../core/service-error.ts';

/** The codes that routes throw themselves, with the HTTP status of each. */
const statuses = { 406: 406, 422: 422, 40001: 422, 40601: 406, 40902: 409 } as const;

/** An error that has no counterpart in the error catalogue, or another code here. */
export class KafkaRestError extends Error {
  readonly errorCode: keyof typeof statuses;

  constructor(errorCode: keyof typeof statuses, message: string) {
    super(message);
    this.errorCode = errorCode;
  }

  get status(): number {
    return statuses[this.errorCode];
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
  UNKNOWN_GROUP: 40403,
  UNKNOWN_MEMBER: 40403,
  GROUP_NOT_EMPTY: 40903,
  STALE_MEMBER_EPOCH: 40903,
  FENCED_MEMBER_EPOCH: 40903,
  MEMBER_SUPERSEDED: 40903,
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
