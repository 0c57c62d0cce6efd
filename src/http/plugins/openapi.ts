// Generates the OpenAPI 3.1 document from the zod schemas of the routes, for /openapi.json, /docs and the file openapi.yaml. Parts that
// all operations share are added here, so that no route repeats them. Only src/openapi-file.ts loads this file: a server serves the
// document that was generated when the program was built.
import fastifySwagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { FastifyContextConfig, FastifyInstance } from 'fastify';
import { fastifyZodOpenApiPlugin, fastifyZodOpenApiTransformers } from 'fastify-zod-openapi';
import { z } from 'zod';
import { errorCatalogue } from '../../../schemas/errors.ts';
import { packageVersion } from '../../config/config.ts';
import { ndjsonType } from '../media-types.ts';
import { declaresCode } from '../problems.ts';
import { readable } from './bodies.ts';
import { descriptions } from './openapi-descriptions.ts';
import { examples, parameterExamples } from './openapi-examples.ts';
import { forTools } from './openapi-schemas.ts';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;
type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;

/** The parts of the document that this file changes. */
type Json = Record<string, unknown>;
interface Response {
  description?: string;
  headers?: Json;
  content?: Json;
}
interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema: Json;
}
interface Operation {
  operationId?: string;
  tags?: string[];
  parameters?: Parameter[];
  [declaredMark]?: Declared;
  requestBody?: { description?: string; required?: boolean; content?: Record<string, { schema?: Json }> };
  responses?: Record<string, Response | Json>;
}
interface Document extends Json {
  paths?: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, unknown>; parameters?: Json; headers?: Json; responses?: Json };
}

const nodePathParameter = z.object({
  path: z
    .string()
    .describe(
      'Path of the node without its first slash, empty for the root. Its slashes need no encoding: `/v1/nodes/app/leader`.',
    ),
});

/** A node's path is the rest of the URL. OpenAPI cannot express that, so it is a path parameter whose description says so. */
const transform: Transform = (given) => {
  const isNode = given.url.endsWith('/*');
  const description = descriptions[given.schema?.operationId ?? ''];
  const schema = given.schema && {
    ...(isNode && { params: nodePathParameter }),
    ...(description !== undefined && { description }),
    ...given.schema,
  };
  // If several routes share one description of a body or response, the generator completes only the first: so each gets a copy.
  if (schema?.body) schema.body = ownDescription(schema.body);
  if (schema?.response) {
    const responses = Object.entries(schema.response).map(([status, response]) => [status, ownDescription(response)]);
    schema.response = Object.fromEntries(responses);
  }
  const transformed = fastifyZodOpenApiTransformers.transform({
    ...given,
    schema,
    url: given.url.replace(/\*$/, ':path'),
  });
  return { ...transformed, schema: { ...transformed.schema, [declaredMark]: declaredBy(given) } };
};

/** What a route declares outside its schema, passed to `complete`. */
interface Declared {
  headers: string[];
  bodyLimit: number | undefined;
}

const declaredMark = 'x-declared';

function declaredBy({ schema, route, url }: Parameters<Transform>[0]): Declared {
  const { config, bodyLimit } = route as { config?: FastifyContextConfig; bodyLimit?: number };
  return {
    headers: [
      ...(url.startsWith('/v1/') ? ['WeirSession'] : []),
      ...(declaresCode(schema?.response, 'IDEMPOTENCY_KEY_REUSED') ? ['IdempotencyKey'] : []),
      ...(config?.takesHeaders ?? []).map((name) => name.replace('-', '')),
    ],
    bodyLimit,
  };
}

/** A copy of a description by content types; a plain schema is returned as it is. */
function ownDescription(part: unknown): unknown {
  return typeof part === 'object' && part !== null && 'content' in part ? { ...part } : part;
}

const transformObject: TransformObject = (given) => {
  const document = fastifyZodOpenApiTransformers.transformObject(given) as unknown as Document;
  for (const operations of Object.values(document.paths ?? {})) {
    for (const operation of Object.values(operations)) complete(operation);
  }
  const components = document.components ?? {};
  const { openapi, info, tags, paths, components: _, ...rest } = document;
  const ordered = {
    openapi,
    info,
    tags,
    ...rest,
    paths,
    components: {
      ...components,
      schemas: sorted(components.schemas ?? {}),
      parameters: { ...components.parameters, ...commonParameters },
      headers: { ...components.headers, ...commonHeaders },
      responses: { ...components.responses, ...commonResponses },
    },
  };
  return forTools(ordered) as ReturnType<TransformObject>;
};

const commonParameters = {
  WeirSession: {
    name: 'Weir-Session',
    in: 'header',
    schema: { type: 'string' },
    description:
      'Handle of a session: the request renews it, and ephemeral nodes that the request creates belong to it.',
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
    description: 'A repeat with the same key within 10 minutes gets the first response again.',
  },
  WeirFence: {
    name: 'Weir-Fence',
    in: 'header',
    schema: { type: 'string', pattern: '^([^=\\s][^=]{0,254}=\\d{1,16}|/.*@\\d{1,16})$' },
    description:
      'A fencing token, `<name>=<integer>`: each partition refuses a token lower than the highest that it has seen under that name. The `czxid` of a lock node is a good token. With `/path@<czxid>` the request is also refused unless that node exists with this `czxid`; the name of the fence is then the path.',
  },
  WeirProducer: {
    name: 'Weir-Producer',
    in: 'header',
    schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}:\\d{1,16}:\\d{1,16}$' },
    description:
      'A named producer, `<id>:<epoch>:<sequence>`, for bodies that have no member `producer`. Each batch of an NDJSON body takes the next sequence.',
  },
};

const commonHeaders = {
  WeirZxid: {
    schema: { type: 'integer', format: 'int64' },
    description: 'The newest zxid that the response reflects.',
  },
  RateLimitLimit: {
    schema: { type: 'integer' },
    description: 'Requests a second that the identity of the caller may make; absent if they are not limited.',
  },
  RateLimitRemaining: {
    schema: { type: 'integer' },
    description: 'Requests that it may make at once.',
  },
  RateLimitReset: {
    schema: { type: 'integer' },
    description: 'Seconds until it may make as many as the limit at once.',
  },
  RetryAfter: {
    schema: { type: 'integer' },
    description: 'Seconds after which the request may be sent again.',
  },
  IdempotencyReplayed: {
    schema: { type: 'string', const: 'true' },
    description: 'The response is that of an earlier request with the same Idempotency-Key or producer sequence.',
  },
};

const rateLimitHeaders = ['Limit', 'Remaining', 'Reset'].map((name) => [
  `RateLimit-${name}`,
  { $ref: `#/components/headers/RateLimit${name}` },
]);

const everywhere = [
  'BAD_REQUEST',
  'AUTH_REQUIRED',
  'FORBIDDEN',
  'TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'SESSION_EXPIRED',
  'REQUEST_TIMEOUT',
  'TOO_MANY_REQUESTS',
  'INTERNAL',
  'STORE_UNAVAILABLE',
] as const;

const commonResponses = {
  Problem: {
    description: `Any other problem. Codes that every request may get: ${everywhere
      .map((code) => `\`${code}\` (${errorCatalogue[code].status})`)
      .join(', ')}.`,
    headers: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' }, ...Object.fromEntries(rateLimitHeaders) },
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  },
};

/** Adds to an operation the parts that all share, and corrects mistakes of the generator. */
function complete(operation: Operation): void {
  const responses = Object.entries(operation.responses ?? {}) as [string, Response][];
  const successes = responses.filter(([status]) => /^[23]/.test(status)).map(([, response]) => response);
  const declared = operation[declaredMark] ?? { headers: [], bodyLimit: undefined };
  delete operation[declaredMark];
  const isIdempotent = declared.headers.includes('IdempotencyKey');

  const parameters = (operation.parameters ?? []).filter(({ name }) => name !== 'weir-session').map(asDescribed);
  const all = [...parameters, ...declared.headers.map((name) => ({ $ref: `#/components/parameters/${name}` }))];
  if (all.length > 0) operation.parameters = all as Parameter[];

  for (const response of successes) {
    const headers = Object.entries(response.headers ?? {}).map(([name, header]) => [
      headerName(name),
      unwrapped(header),
    ]);
    if (operation.tags?.includes('nodes')) headers.push(['Weir-Zxid', { $ref: '#/components/headers/WeirZxid' }]);
    if (isIdempotent) headers.push(['Idempotency-Replayed', { $ref: '#/components/headers/IdempotencyReplayed' }]);
    // Health, metrics and the documentation are never refused for a rate.
    if (!operation.tags?.includes('operation')) headers.push(...rateLimitHeaders);
    if (headers.length > 0) response.headers = Object.fromEntries(headers);
  }
  operation.responses = { ...operation.responses, default: { $ref: '#/components/responses/Problem' } };

  // The generator marks every body as required; a body of bytes may be empty, and one whose schema is optional may be absent.
  const { requestBody } = operation;
  if (requestBody && declared.bodyLimit !== undefined) {
    const isStream = ndjsonType in (requestBody.content ?? {});
    requestBody.description = `At most ${readable(declared.bodyLimit)}${isStream ? '; NDJSON may have any length' : ''}.`;
  }
  addExamples(operation);
  for (const { schema } of Object.values(requestBody?.content ?? {})) {
    const isBytes = schema?.format === 'binary';
    if (isBytes || schema?.[optionalMark] === true) delete requestBody?.required;
    delete schema?.[optionalMark];
  }
}

/** Adds what openapi-examples.ts has for an operation, in the first media type of the request and of the first success with content. */
function addExamples({ operationId = '', requestBody, responses }: Operation): void {
  const { body, response } = examples[operationId] ?? {};
  const success = Object.entries(responses ?? {}).find(
    ([status, { content }]) => status.startsWith('2') && content !== undefined,
  )?.[1];
  for (const [example, content] of [
    [body, requestBody?.content],
    [response, success?.content],
  ]) {
    const [first] = Object.values((content ?? {}) as Record<string, Json>);
    if (example !== undefined && first !== undefined) first.example = example;
  }
}

/** The generator's internal mark of an optional body; it is removed from the document. */
const optionalMark = 'x-fastify-zod-openapi-optional';

/**
 * A parameter with its members in the usual order. The schema describes the value and not the check of its text: so the pattern of a
 * number and the allowed words of a flag are removed.
 */
function asDescribed({ name, in: place, required, description, schema: given }: Parameter): Parameter {
  const { description: ofSchema, ...schema } = given;
  // An optional parameter has the description of the schema inside.
  const text = description ?? (ofSchema as string | undefined);
  if (schema.type === 'integer') delete schema.pattern;
  if (schema.type === 'boolean') delete schema.enum;
  return {
    name: place === 'header' ? headerName(name) : name,
    in: place,
    ...(required && { required }),
    // `?stats` means the same as `?stats=true`.
    ...(schema.type === 'boolean' && { allowEmptyValue: true }),
    ...(text !== undefined && { description: text }),
    schema,
    ...(place === 'path' && name in parameterExamples && { example: parameterExamples[name] }),
  };
}

/** Unwraps a header: the generator takes the header object for a schema, and wraps it in another one. */
function unwrapped(header: unknown): unknown {
  const { schema, ...rest } = header as { schema?: Json };
  return schema && typeof schema.schema === 'object' ? { ...rest, ...schema } : header;
}

/** The usual spelling of a header name: `If-Match` for `if-match`. */
function headerName(name: string): string {
  if (name === 'etag') return 'ETag';
  return name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

function sorted(object: Json): Json {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const openApiOptions: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'Weirkeeper',
      version: packageVersion(),
      description:
        "ZooKeeper's coordination and Kafka's logs over HTTP and WebSocket. Errors are application/problem+json with a stable `code`, of which `/docs/errors` lists all. `pretty` in the query of any request indents JSON. The guide at `/docs/guide/` explains the concepts, the rules of HTTP, and what is guaranteed.",
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
    },
    // The server that served the document. Credentials are needed only where there is a policy.
    servers: [{ url: '/' }],
    security: [{}, { token: [] }, { basic: [] }],
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'A token `weir_…`, or a JWT of the issuer in the policy.',
        },
        basic: { type: 'http', scheme: 'basic', description: 'An identity and its token.' },
      },
    },
    tags: [
      { name: 'nodes', description: 'A tree of nodes, as in ZooKeeper.' },
      { name: 'sessions', description: 'Owners of ephemeral nodes: a session lives as long as it is renewed.' },
      { name: 'watches', description: 'Changes of the tree, live and from history.' },
      { name: 'topics', description: 'Logs of records in partitions, as in Kafka.' },
      { name: 'groups', description: 'Consumers that share the partitions of topics.' },
      { name: 'cluster', description: 'Brokers, controller and leaders.' },
      { name: 'access', description: 'What a caller may do, derived tokens, and tickets of event streams.' },
      { name: 'operation', description: 'Health and metrics.' },
    ],
  },
  transform,
  transformObject,
};

/** Makes the application describe the routes that are registered after this: `app.swagger()` is then the document. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(fastifyZodOpenApiPlugin);
  await app.register(fastifySwagger, openApiOptions);
}
