// The error catalogue is a promise: codes and statuses as published, every code in use, and no other code anywhere.
import t from 'tap';
import { errorCatalogue } from '../../schemas/errors.ts';
import { openApiDocument } from '../../src/openapi-file.ts';
import { operationsOf, read, replyTags, scripts, sources } from './repository.ts';

/** As published. A code never changes and never goes; a new one is added here in the same change. */
const published: Record<string, number> = {
  BAD_REQUEST: 400,
  INVALID_PATH: 400,
  AUTH_REQUIRED: 401,
  FORBIDDEN: 403,
  RESERVED_PATH: 403,
  QUOTA_EXCEEDED: 403,
  NOT_FOUND: 404,
  NO_NODE: 404,
  NO_PARENT: 404,
  UNKNOWN_TOPIC: 404,
  UNKNOWN_PARTITION: 404,
  UNKNOWN_GROUP: 404,
  UNKNOWN_PRODUCER: 404,
  UNKNOWN_MEMBER: 404,
  NO_COMMITTED_OFFSET: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  NODE_EXISTS: 409,
  NOT_EMPTY: 409,
  NO_CHILDREN_FOR_EPHEMERALS: 409,
  TOPIC_EXISTS: 409,
  GROUP_NOT_EMPTY: 409,
  FENCED: 409,
  FENCED_MEMBER_EPOCH: 409,
  STALE_MEMBER_EPOCH: 409,
  FENCED_INSTANCE_ID: 409,
  UNRELEASED_INSTANCE_ID: 409,
  PRODUCER_FENCED: 409,
  OUT_OF_ORDER_SEQUENCE: 409,
  SESSION_MOVED: 409,
  STALE_LEADER_EPOCH: 409,
  MEMBER_SUPERSEDED: 409,
  STALE_POSITION: 409,
  SESSION_EXPIRED: 410,
  COMPACTED: 410,
  BAD_VERSION: 412,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  OFFSET_OUT_OF_RANGE: 416,
  INVALID_CONFIG: 422,
  INVALID_PARTITIONS: 422,
  INVALID_REPLICATION_FACTOR: 422,
  INVALID_REPLICA_ASSIGNMENT: 422,
  UNSUPPORTED_ASSIGNOR: 422,
  IDEMPOTENCY_KEY_REUSED: 422,
  TOO_MANY_REQUESTS: 429,
  INTERNAL: 500,
  NOT_IMPLEMENTED: 501,
  LOADING: 503,
  STORE_UNAVAILABLE: 503,
  NOT_ENOUGH_REPLICAS: 503,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 503,
  STORE_FULL: 507,
};

/** Codes that are published, and that nothing returns yet: why. */
const unused: Record<string, string> = {};

/** The TypeScript sources without the catalogue, and without what routes say of themselves: there a code is only named. */
const code = sources
  .filter((file) => file !== 'schemas/errors.ts')
  .map((file) => read(file).replace(/\bproblems\([^)]*\)/g, ''))
  .join('\n');

const catalogue = Object.entries(errorCatalogue).map(([name, entry]) => ({ name, ...entry }));

t.test('every code has the status that it was published with', async (t) => {
  t.same(Object.fromEntries(Object.entries(errorCatalogue).map(([name, { status }]) => [name, status])), published);
});

t.test('every code says what it means in a sentence', async (t) => {
  const sentence = /^[A-Z].*\.$/;
  t.same(
    catalogue.filter(({ summary }) => !sentence.test(summary)).map(({ name }) => name),
    [],
  );
});

t.test('a code may be tried again if its status says so, and no other status below 500 does but 409', async (t) => {
  const mustBeRetryable = (status: number) => status === 503 || status === 429 || status === 408;
  const mayBeRetryable = (status: number) => status >= 500 || status === 409;
  t.same(
    catalogue
      .filter(({ status, retryable }) =>
        retryable ? !mustBeRetryable(status) && !mayBeRetryable(status) : mustBeRetryable(status),
      )
      .map(({ name }) => name),
    [],
  );
});

/** Every tag that a script replies with. */
const tags = scripts.flatMap((file) => replyTags(read(file)).map((tag) => ({ file, tag })));

t.test('scripts reply with OK or a code of the catalogue', async (t) => {
  t.ok(tags.length > 20, 'there are tags to look at');
  t.same(
    tags.filter(({ tag }) => tag !== 'OK' && !(tag in errorCatalogue)),
    [],
  );
});

t.test('every code is one that something returns, but those listed as unused', async (t) => {
  const inScripts = new Set(tags.map(({ tag }) => tag));
  const isUsed = (name: string) => inScripts.has(name) || code.includes(`'${name}'`);
  t.same(
    catalogue.map(({ name }) => name).filter((name) => !isUsed(name)),
    Object.keys(unused),
  );
});

t.test('failures are made with codes of the catalogue only', async (t) => {
  const made = [...code.matchAll(/new ServiceError\(\s*'([^']+)'/g)].map(([, name = '']) => name);
  t.ok(made.length > 20, 'there are failures to look at');
  t.same(
    made.filter((name) => !(name in errorCatalogue)),
    [],
  );
});

t.test('the OpenAPI document names each code under its own status', async (t) => {
  const named = operationsOf(await openApiDocument()).flatMap(({ name, operation }) =>
    Object.entries<any>(operation.responses)
      .filter(([status]) => status !== 'default')
      .flatMap(([status, response]) =>
        [...String(response.description).matchAll(/`([A-Z_]{3,})`:/g)].map(([, problem = '']) => ({
          name,
          status,
          problem,
        })),
      ),
  );
  t.ok(named.length > 50, 'there are codes to look at');
  t.same(
    named.filter(({ status, problem }) => String(published[problem]) !== status),
    [],
  );
});
