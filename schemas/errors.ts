import { z } from 'zod';

/**
 * THE error catalogue: every code that leaves the service, in HTTP bodies and in socket frames alike.
 *
 * A `code` never changes once it is published; `status` follows HTTP (RFC 9110); `retryable` says whether the same
 * request may succeed later without being changed; `summary` is the problem's `title`. Lua scripts answer with these
 * codes as reply tags, and `test/house` holds scripts, catalogue and OpenAPI document together.
 */
export const errorCatalogue = {
  BAD_REQUEST: { status: 400, retryable: false, summary: 'The request is malformed.' },
  INVALID_PATH: { status: 400, retryable: false, summary: 'The node path breaks the rules for paths.' },
  AUTH_REQUIRED: { status: 401, retryable: false, summary: 'The request needs credentials.' },
  FORBIDDEN: { status: 403, retryable: false, summary: 'The caller may not do this.' },
  RESERVED_PATH: { status: 403, retryable: false, summary: 'The path is kept by the service: read and watch only.' },
  NOT_FOUND: { status: 404, retryable: false, summary: 'There is no such resource.' },
  NO_NODE: { status: 404, retryable: false, summary: 'The node does not exist.' },
  NO_PARENT: { status: 404, retryable: false, summary: 'The parent of the node does not exist.' },
  UNKNOWN_TOPIC: { status: 404, retryable: false, summary: 'The topic does not exist.' },
  UNKNOWN_PARTITION: { status: 404, retryable: false, summary: 'The topic has no such partition.' },
  UNKNOWN_GROUP: { status: 404, retryable: false, summary: 'The group does not exist.' },
  UNKNOWN_PRODUCER: { status: 404, retryable: false, summary: 'The producer is not known; get a new id and epoch.' },
  UNKNOWN_MEMBER: { status: 404, retryable: false, summary: 'The group has no such member; join again.' },
  NO_COMMITTED_OFFSET: { status: 404, retryable: false, summary: 'The group has committed no offset here.' },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false, summary: 'The resource does not take this method.' },
  REQUEST_TIMEOUT: { status: 408, retryable: true, summary: 'The request took too long to come in.' },
  NODE_EXISTS: { status: 409, retryable: false, summary: 'The node exists already.' },
  NOT_EMPTY: { status: 409, retryable: false, summary: 'The node has children.' },
  NO_CHILDREN_FOR_EPHEMERALS: { status: 409, retryable: false, summary: 'An ephemeral node cannot have children.' },
  TOPIC_EXISTS: { status: 409, retryable: false, summary: 'The topic exists already.' },
  GROUP_NOT_EMPTY: { status: 409, retryable: false, summary: 'The group still has members.' },
  FENCED: { status: 409, retryable: false, summary: 'A newer fencing token has been seen.' },
  FENCED_MEMBER_EPOCH: { status: 409, retryable: false, summary: 'The member epoch is not valid; join again.' },
  STALE_MEMBER_EPOCH: { status: 409, retryable: false, summary: 'The member epoch is old; send a heartbeat first.' },
  FENCED_INSTANCE_ID: { status: 409, retryable: false, summary: 'The instance id belongs to another member.' },
  UNRELEASED_INSTANCE_ID: { status: 409, retryable: true, summary: 'The instance id is still in use.' },
  PRODUCER_FENCED: { status: 409, retryable: false, summary: 'A newer epoch of this producer exists.' },
  OUT_OF_ORDER_SEQUENCE: { status: 409, retryable: false, summary: 'The producer sequence is not the next one.' },
  STALE_LEADER_EPOCH: { status: 409, retryable: false, summary: 'A newer leader maintains the log of the partition.' },
  MEMBER_SUPERSEDED: { status: 409, retryable: false, summary: 'Another caller speaks for this member by now.' },
  STALE_POSITION: { status: 409, retryable: false, summary: 'The member has gone on from where the call says it is.' },
  SESSION_EXPIRED: { status: 410, retryable: false, summary: 'The session has ended, or never was.' },
  COMPACTED: { status: 410, retryable: false, summary: 'The history asked for is no longer kept.' },
  BAD_VERSION: { status: 412, retryable: false, summary: 'The node is not at the expected version.' },
  TOO_LARGE: { status: 413, retryable: false, summary: 'The content is over the size limit.' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false, summary: 'The content type is not supported here.' },
  OFFSET_OUT_OF_RANGE: { status: 416, retryable: false, summary: 'The offset is outside the log.' },
  INVALID_CONFIG: { status: 422, retryable: false, summary: 'The configuration is not valid.' },
  INVALID_PARTITIONS: { status: 422, retryable: false, summary: 'The number of partitions is not valid.' },
  INVALID_REPLICATION_FACTOR: { status: 422, retryable: false, summary: 'The replication factor is not valid.' },
  INVALID_REPLICA_ASSIGNMENT: { status: 422, retryable: false, summary: 'The replicas are not valid.' },
  UNSUPPORTED_ASSIGNOR: { status: 422, retryable: false, summary: 'The assignor is not known.' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, retryable: false, summary: 'The key was used for another request.' },
  TOO_MANY_REQUESTS: { status: 429, retryable: true, summary: 'The service is asked for too much at once.' },
  INTERNAL: { status: 500, retryable: true, summary: 'The service failed; this is a fault of ours.' },
  NOT_IMPLEMENTED: {
    status: 501,
    retryable: false,
    summary: 'The server does not know what the request is made with.',
  },
  LOADING: { status: 503, retryable: true, summary: 'The store loads its data; `percent` is there.' },
  STORE_UNAVAILABLE: { status: 503, retryable: true, summary: 'The store cannot be reached.' },
  NOT_ENOUGH_REPLICAS: { status: 503, retryable: true, summary: 'Too few replicas; nothing was written.' },
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: {
    status: 503,
    retryable: true,
    summary: 'Too few replicas have it; it is written.',
  },
  STORE_FULL: { status: 507, retryable: true, summary: 'The store is at its memory limit; reads go on.' },
} as const satisfies Record<string, { status: number; retryable: boolean; summary: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

export const errorCodes = Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]];

/** RFC 9457 problem details, the body of every error; fields of the case (`oldest`, `failed`, …) stand beside these. */
export const problemSchema = z
  .looseObject({
    type: z.string().describe('A URI reference that names the kind of problem.'),
    title: z.string(),
    status: z.int(),
    code: z.enum(errorCodes).describe('Stable and made for programs; texts may change.'),
    detail: z.string().describe('What was wrong, with which value, and what to do.'),
    retryable: z.boolean().describe('Whether the same request may succeed later.'),
  })
  .meta({ id: 'Problem' });

export type Problem = z.infer<typeof problemSchema>;
