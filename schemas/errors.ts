import { z } from 'zod';

/**
 * The error catalogue: every error code of the service, in HTTP bodies and in WebSocket frames.
 *
 * One code, one meaning. A `code` never changes once it is published. `status` follows HTTP (RFC 9110). `retryable` says
 * whether the same request may succeed later without a change. `summary` becomes the `title` of the problem; it describes
 * the code, and the `detail` of a problem describes the case. Lua scripts reply with these codes. `test/house` checks that
 * scripts, catalogue and OpenAPI document agree.
 */
export const errorCatalogue = {
  BAD_REQUEST: { status: 400, retryable: false, summary: 'The request is malformed.' },
  INVALID_PATH: { status: 400, retryable: false, summary: 'The path of the node is not valid.' },
  AUTH_REQUIRED: { status: 401, retryable: false, summary: 'The request needs credentials.' },
  FORBIDDEN: { status: 403, retryable: false, summary: 'The caller is not allowed to do this.' },
  RESERVED_PATH: { status: 403, retryable: false, summary: 'The path is reserved: only the server writes it.' },
  QUOTA_EXCEEDED: { status: 403, retryable: false, summary: 'A limit on what the identity may store is reached.' },
  NOT_FOUND: { status: 404, retryable: false, summary: 'The resource does not exist.' },
  NO_NODE: { status: 404, retryable: false, summary: 'The node does not exist.' },
  NO_PARENT: { status: 404, retryable: false, summary: 'The parent of the node does not exist.' },
  UNKNOWN_TOPIC: { status: 404, retryable: false, summary: 'The topic does not exist.' },
  UNKNOWN_PARTITION: { status: 404, retryable: false, summary: 'The topic has no such partition.' },
  UNKNOWN_GROUP: { status: 404, retryable: false, summary: 'The group does not exist.' },
  UNKNOWN_PRODUCER: { status: 404, retryable: false, summary: 'The named producer does not exist.' },
  UNKNOWN_MEMBER: { status: 404, retryable: false, summary: 'The group has no such member.' },
  NO_COMMITTED_OFFSET: {
    status: 404,
    retryable: false,
    summary: 'The group has no committed offset for the partition.',
  },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false, summary: 'The resource does not support this method.' },
  REQUEST_TIMEOUT: { status: 408, retryable: true, summary: 'The request was not received in time.' },
  NODE_EXISTS: { status: 409, retryable: false, summary: 'The node already exists.' },
  NOT_EMPTY: { status: 409, retryable: false, summary: 'The node has children.' },
  NO_CHILDREN_FOR_EPHEMERALS: { status: 409, retryable: false, summary: 'An ephemeral node cannot have children.' },
  TOPIC_EXISTS: { status: 409, retryable: false, summary: 'The topic already exists.' },
  GROUP_NOT_EMPTY: { status: 409, retryable: false, summary: 'The group has members.' },
  FENCED: { status: 409, retryable: false, summary: 'The log has seen a higher fencing token.' },
  FENCED_MEMBER_EPOCH: {
    status: 409,
    retryable: false,
    summary: 'The member has been fenced, or its epoch is not valid.',
  },
  STALE_MEMBER_EPOCH: { status: 409, retryable: false, summary: 'The member epoch is out of date.' },
  FENCED_INSTANCE_ID: { status: 409, retryable: false, summary: 'The instance id belongs to another member.' },
  UNRELEASED_INSTANCE_ID: {
    status: 409,
    retryable: true,
    summary: 'The instance id is in use by a member that has not left.',
  },
  PRODUCER_FENCED: { status: 409, retryable: false, summary: 'The producer has a newer epoch.' },
  OUT_OF_ORDER_SEQUENCE: {
    status: 409,
    retryable: false,
    summary: 'The sequence is not the next one of the producer or session.',
  },
  SESSION_MOVED: { status: 409, retryable: false, summary: 'A newer connection acts for the session.' },
  STALE_LEADER_EPOCH: { status: 409, retryable: false, summary: 'The partition has a newer leader epoch.' },
  MEMBER_SUPERSEDED: { status: 409, retryable: false, summary: 'The member was joined again by a newer incarnation.' },
  STALE_POSITION: { status: 409, retryable: false, summary: 'The position that the call names is out of date.' },
  SESSION_EXPIRED: { status: 410, retryable: false, summary: 'The session has expired or does not exist.' },
  COMPACTED: { status: 410, retryable: false, summary: 'The requested history is not kept any more.' },
  BAD_VERSION: { status: 412, retryable: false, summary: 'The node does not have the expected version.' },
  TOO_LARGE: { status: 413, retryable: false, summary: 'The content is larger than the limit.' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false, summary: 'The content type is not supported.' },
  OFFSET_OUT_OF_RANGE: { status: 416, retryable: false, summary: 'The offset is outside the log.' },
  INVALID_CONFIG: { status: 422, retryable: false, summary: 'The configuration is not valid.' },
  INVALID_PARTITIONS: { status: 422, retryable: false, summary: 'The number of partitions is not valid.' },
  INVALID_REPLICATION_FACTOR: { status: 422, retryable: false, summary: 'The replication factor is not valid.' },
  INVALID_REPLICA_ASSIGNMENT: { status: 422, retryable: false, summary: 'The list of replicas is not valid.' },
  UNSUPPORTED_ASSIGNOR: { status: 422, retryable: false, summary: 'The assignor is not supported.' },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    retryable: false,
    summary: 'The idempotency key was used for a different request.',
  },
  TOO_MANY_REQUESTS: { status: 429, retryable: true, summary: 'A limit on load or on stored data is reached.' },
  INTERNAL: { status: 500, retryable: true, summary: 'The server failed unexpectedly.' },
  NOT_IMPLEMENTED: {
    status: 501,
    retryable: false,
    summary: 'The server does not support a feature that the request uses.',
  },
  LOADING: { status: 503, retryable: true, summary: 'The store is loading its data.' },
  STORE_UNAVAILABLE: { status: 503, retryable: true, summary: 'The store cannot be reached.' },
  NOT_ENOUGH_REPLICAS: {
    status: 503,
    retryable: true,
    summary: 'The store has too few replicas; nothing was written.',
  },
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: {
    status: 503,
    retryable: true,
    summary: 'The records were appended, but too few replicas have them.',
  },
  STORE_FULL: { status: 507, retryable: true, summary: 'The store has reached its memory limit.' },
} as const satisfies Record<string, { status: number; retryable: boolean; summary: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

export const errorCodes = Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]];

/** Fields that some codes have, for the OpenAPI document; each of them may be absent, and there may be others. */
const knownFields = {
  path: { type: 'string', description: 'The path of the node.' },
  zxid: { type: 'integer', description: 'The newest zxid that the response reflects.' },
  oldest: { type: 'integer', description: 'COMPACTED: the oldest zxid after which history is kept.' },
  failed: { type: 'integer', description: 'The index of the operation that failed.' },
  topic: { type: 'string' },
  partition: { type: 'integer' },
  offset: { type: 'integer' },
  logStartOffset: { type: 'integer', description: 'OFFSET_OUT_OF_RANGE: the offset of the first record that is kept.' },
  endOffset: { type: 'integer', description: 'OFFSET_OUT_OF_RANGE: the offset that the next record gets.' },
  group: { type: 'string' },
  memberId: { type: 'string' },
  memberEpoch: { type: 'integer' },
  bytes: { type: 'integer', description: 'TOO_LARGE: what was sent.' },
  maxBytes: { type: 'integer', description: 'TOO_LARGE: the limit.' },
  requestId: { type: 'string', description: 'INTERNAL: finds the cause in the log.' },
  percent: { type: 'integer', description: 'LOADING: how much is loaded.' },
  secondsLeft: { type: 'integer', description: 'LOADING: about how long it will take.' },
} as const;

/** RFC 9457 problem details, the body of every error; a code may have further fields, such as `oldest` or `failed`. */
export const problemSchema = z
  .looseObject({
    type: z.string().describe('A URI reference to the documentation of the code.'),
    title: z.string().describe('What the code means; the same for every problem of this code.'),
    status: z.int(),
    code: z.enum(errorCodes).describe('Stable, for programs. Texts may change.'),
    detail: z.string().describe('What was refused, with which value, and what to do.'),
    retryable: z.boolean().describe('Whether the same request may succeed later without a change.'),
  })
  .meta({
    id: 'Problem',
    override: ({ jsonSchema }) => {
      jsonSchema.properties = { ...jsonSchema.properties, ...knownFields };
    },
  });

export type Problem = z.infer<typeof problemSchema>;
