// Writes the AsyncAPI document of all WebSockets to a file: `node dist/src/asyncapi-file.js asyncapi.yaml`. It is made of the schemas
// that check the frames.
import { realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { z } from 'zod';
import { createSchema } from 'zod-openapi';
import { groupClientFrame, groupServerFrame, groupStreamQuery } from '../schemas/group-stream.ts';
import {
  eventFrame,
  requestSchemas,
  responseFrame,
  resultSchemas,
  type SocketOp,
  socketProtocol,
} from '../schemas/socket.ts';
import { topicTailClientFrame, topicTailQuery, topicTailServerFrame } from '../schemas/topic-tail.ts';
import { clientFrame, serverFrame } from '../schemas/watch.ts';
import { packageVersion } from './config/config.ts';
import { forTools } from './http/plugins/openapi-schemas.ts';

type Json = Record<string, unknown>;

interface Channel {
  address: string;
  description: string;
  parameters?: Record<string, string>;
  query?: z.ZodType;
  /** The frames to the server, and from it. */
  received: Record<string, z.ZodType>;
  sent: Record<string, z.ZodType>;
}

const channels: Record<string, Channel> = {
  watch: {
    address: '/v1/watch',
    description: 'Watches of many nodes, and the renewal of sessions.',
    received: { WatchClientFrame: clientFrame },
    sent: { WatchServerFrame: serverFrame },
  },
  topicTail: {
    address: '/v1/topics/{topic}/stream',
    description: 'The records of a topic as they are appended, as many as the client has given credit for.',
    parameters: { topic: 'The name of the topic.' },
    query: topicTailQuery,
    received: { RecordStreamClientFrame: topicTailClientFrame },
    sent: { RecordStreamServerFrame: topicTailServerFrame },
  },
  group: {
    address: '/v1/groups/{group}/stream',
    description: 'The socket is a member of the group.',
    parameters: { group: 'The name of the group.' },
    query: groupStreamQuery,
    received: { GroupClientFrame: groupClientFrame },
    sent: { GroupServerFrame: groupServerFrame },
  },
  socket: {
    address: '/v1/socket',
    description: `Pipelined requests; the subprotocol is ${socketProtocol}. A frame to the server is one request or a list of requests. A frame from the server is one response, a list of responses, or one event.`,
    received: Object.fromEntries(Object.entries(requestSchemas).map(([op, schema]) => [nameOf(op, 'Request'), schema])),
    sent: {
      ...Object.fromEntries(
        Object.keys(requestSchemas).map((op) => [nameOf(op, 'Response'), responseOf(op as SocketOp)]),
      ),
      SocketEventFrame: eventFrame,
    },
  },
};

/** The AsyncAPI 3 document. It depends only on the schemas. */
export function asyncApiDocument(): Json {
  const schemas: Json = {};
  const messages: Json = {};
  const payload = (schema: z.ZodType, io: 'input' | 'output'): unknown => {
    const made = createSchema(schema, { io, openapiVersion: '3.1.0' });
    Object.assign(schemas, made.components);
    return made.schema;
  };
  const message = (name: string, schema: z.ZodType, io: 'input' | 'output') => {
    messages[name] = { name, contentType: 'application/json', payload: payload(schema, io) };
    return [name, { $ref: `#/components/messages/${name}` }];
  };
  const described = Object.entries(channels).map(
    ([name, { address, description, parameters, query, received, sent }]) => [
      name,
      {
        address,
        description,
        messages: Object.fromEntries([
          ...Object.entries(received).map(([frame, schema]) => message(frame, schema, 'input')),
          ...Object.entries(sent).map(([frame, schema]) => message(frame, schema, 'output')),
        ]),
        ...(parameters && {
          parameters: Object.fromEntries(
            Object.entries(parameters).map(([parameter, text]) => [parameter, { description: text }]),
          ),
        }),
        bindings: { ws: { method: 'GET', ...(query && { query: payload(query, 'input') }), bindingVersion: '0.1.0' } },
      },
    ],
  );
  return forTools({
    asyncapi: '3.0.0',
    info: {
      title: 'Weirkeeper sockets',
      version: packageVersion(),
      description: 'All WebSockets of Weirkeeper. openapi.yaml describes the operations over HTTP.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    channels: Object.fromEntries(described),
    operations: Object.fromEntries(Object.entries(channels).flatMap(([name, channel]) => operationsOf(name, channel))),
    components: { messages, schemas: sorted(schemas) },
  }) as Json;
}

/** The text of asyncapi.yaml. */
export function asyncApiYaml(): string {
  return stringify(asyncApiDocument(), { lineWidth: 120, aliasDuplicateObjects: false });
}

/** What the server receives and sends on a channel; on the pipelined socket each request with its response. */
function operationsOf(name: string, { received, sent }: Channel): [name: string, operation: Json][] {
  const channel = { $ref: `#/channels/${name}` };
  const referTo = (frame: string) => ({ $ref: `#/channels/${name}/messages/${frame}` });
  if (name !== 'socket') {
    return [
      [`${name}.receive`, { action: 'receive', channel, messages: Object.keys(received).map(referTo) }],
      [`${name}.send`, { action: 'send', channel, messages: Object.keys(sent).map(referTo) }],
    ];
  }
  const requests = (Object.keys(requestSchemas) as SocketOp[]).map((op): [string, Json] => [
    `${name}.${op}`,
    {
      action: 'receive',
      channel,
      messages: [referTo(nameOf(op, 'Request'))],
      reply: { channel, messages: [referTo(nameOf(op, 'Response'))] },
    },
  ]);
  return [...requests, [`${name}.send`, { action: 'send', channel, messages: [referTo('SocketEventFrame')] }]];
}

function nameOf(op: string, kind: 'Request' | 'Response'): string {
  return `Socket${op.slice(0, 1).toUpperCase()}${op.slice(1)}${kind}`;
}

/** The response to one kind of request: its result, or a problem. */
function responseOf(op: SocketOp): z.ZodType {
  const [success, failure] = responseFrame.options;
  return z.union([success.extend({ ok: resultSchemas[op] }), failure]);
}

function sorted(object: Json): Json {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const file = process.argv[2];
  if (file === undefined) throw new Error('Name the file to write: node dist/src/asyncapi-file.js asyncapi.yaml');
  writeFileSync(file, asyncApiYaml());
}
