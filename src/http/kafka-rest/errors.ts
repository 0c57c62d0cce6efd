// The errors of the Kafka REST dialect: a body with `error_code` and `message`, in the codes of Confluent's REST Proxy.
import type { ErrorCode } from '../../../schemas/errors.ts';
import type { ServiceError } from '../../core/service-error.ts';

/** The codes that routes throw themselves, with the HTTP status of each. */
const statuses = {
  400: 400,
  404: 404,
  406: 406,
  422: 422,
  40001: 422,
  40002: 400,
  40601: 406,
  40902: 409,
  42208: 422,
} as const;

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

/** Kafka refuses a request that changes topics: always with 400. */
const badRequest = { status: 400, code: 40002 };

/** The codes that differ from the HTTP status, and the statuses that differ from those of the catalogue. */
const differences: Partial<Record<ErrorCode, { status?: number; code: number }>> = {
  AUTH_REQUIRED: { code: 40101 },
  FORBIDDEN: { code: 40301 },
  QUOTA_EXCEEDED: { code: 40301 },
  UNKNOWN_TOPIC: { code: 40403 },
  UNKNOWN_PARTITION: { code: 40402 },
  UNKNOWN_GROUP: { code: 40403 },
  UNKNOWN_MEMBER: { code: 40403 },
  GROUP_NOT_EMPTY: { code: 40903 },
  STALE_MEMBER_EPOCH: { code: 40903 },
  FENCED_MEMBER_EPOCH: { code: 40903 },
  MEMBER_SUPERSEDED: { code: 40903 },
  TOPIC_EXISTS: badRequest,
  INVALID_CONFIG: badRequest,
  INVALID_PARTITIONS: badRequest,
  INVALID_REPLICATION_FACTOR: badRequest,
  TOO_MANY_REQUESTS: { code: 42901 },
  INTERNAL: { code: nonRetriable },
  STORE_UNAVAILABLE: { code: retriable },
  LOADING: { code: retriable },
  NOT_ENOUGH_REPLICAS: { code: retriable },
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: { code: retriable },
  STORE_FULL: { code: retriable },
};

/** The HTTP status and the dialect's code of an error of the catalogue. */
export function statusAndCode({ code, status }: ServiceError): [status: number, code: number] {
  const { code: own = status, status: ownStatus = status } = differences[code] ?? {};
  return [ownStatus, own];
}
