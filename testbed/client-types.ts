// Writes the types of the client from the schemas, so that the client needs no zod: `npm run client:types`. test/house/client.test.ts
// compares the committed file with the generated one.
import { realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { brokerResponse, brokersResponse, clusterResponse } from '../schemas/cluster.ts';
import { statSchema } from '../schemas/common.ts';
import { resourcesResponse } from '../schemas/discovery.ts';
import { errorCodes, problemSchema } from '../schemas/errors.ts';
import { eventsResponse } from '../schemas/events.ts';
import { fencesResponse } from '../schemas/fences.ts';
import { groupsResponse } from '../schemas/group-list.ts';
import { groupClientFrame, groupServerFrame } from '../schemas/group-stream.ts';
import {
  commitResponse,
  consumeResponse,
  groupOffsetsResponse,
  groupResponse,
  joinBody,
  joinResponse,
  memberResponse,
  resetBody,
  resetResponse,
} from '../schemas/groups.ts';
import {
  childrenResponse,
  createdResponse,
  multiBody,
  multiResponse,
  nodeResponse,
  statResponse,
} from '../schemas/nodes.ts';
import { producerResponse } from '../schemas/producers.ts';
import {
  deleteRecordsResponse,
  fetchedRecord,
  fetchResponse,
  offsetsResponse,
  producedRecord,
  produceResponse,
} from '../schemas/records.ts';
import { sessionCreatedResponse, sessionsResponse } from '../schemas/sessions.ts';
import { eventFrame, requestSchemas, responseFrame } from '../schemas/socket.ts';
import { statsSample } from '../schemas/stats.ts';
import { topicTailEvent } from '../schemas/topic-tail.ts';
import {
  alterTopicBody,
  createTopicBody,
  electionResponse,
  reassignBody,
  topicResponse,
  topicsResponse,
} from '../schemas/topics.ts';
import { copyResponse, exportEnd, importResponse, nodeLine } from '../schemas/transfer.ts';
import { streamFrame, watchEvent } from '../schemas/watch.ts';

/** What the client sends: the fields that a caller may leave out are optional. */
const inputs: Record<string, z.ZodType> = {
  CreateTopic: createTopicBody,
  AlterTopic: alterTopicBody,
  ReassignPartition: reassignBody,
  JoinGroup: joinBody,
  ResetOffsets: resetBody,
  Multi: multiBody,
  NodeLine: nodeLine,
  ProducedRecord: producedRecord,
  GroupClientFrame: groupClientFrame,
  SocketRequest: z.union(Object.values(requestSchemas)),
};

const outputs: Record<string, z.ZodType> = {
  Problem: problemSchema,
  Stat: statSchema,
  Node: nodeResponse,
  NodeStat: statResponse,
  CreatedNode: createdResponse,
  Children: childrenResponse,
  MultiResult: multiResponse,
  CopyResult: copyResponse,
  ImportResult: importResponse,
  ExportEnd: exportEnd,
  WatchEvent: watchEvent,
  WatchStreamFrame: streamFrame,
  SessionCreated: sessionCreatedResponse,
  Record: fetchedRecord,
  Produced: produceResponse,
  Fetched: fetchResponse,
  TopicOffsets: offsetsResponse,
  DeletedRecords: deleteRecordsResponse,
  RecordStreamFrame: topicTailEvent,
  Producer: producerResponse,
  Topic: topicResponse,
  Topics: topicsResponse,
  Election: electionResponse,
  Fences: fencesResponse,
  Group: groupResponse,
  Groups: groupsResponse,
  GroupServerFrame: groupServerFrame,
  GroupJoined: joinResponse,
  GroupMembership: memberResponse,
  Consumed: consumeResponse,
  CommittedOffsetsNow: commitResponse,
  CommittedOffsets: groupOffsetsResponse,
  OffsetsReset: resetResponse,
  Cluster: clusterResponse,
  Broker: brokerResponse,
  Brokers: brokersResponse,
  EventHistory: eventsResponse,
  Resources: resourcesResponse,
  Sessions: sessionsResponse,
  StatsSample: statsSample,
  SocketResponse: responseFrame,
  SocketEvent: eventFrame,
};

interface Json {
  [key: string]: unknown;
}

/** Names that TypeScript has for something else. */
const renamed: Record<string, string> = { Record: 'LogRecord' };

/** The text of client/src/wire.ts. */
export function clientTypes(): string {
  const declarations = new Map<string, string>();
  for (const [schemas, io] of [
    [inputs, 'input'],
    [outputs, 'output'],
  ] as const) {
    for (const [name, schema] of Object.entries(schemas)) declare(name, jsonSchemaOf(schema, io), declarations);
  }
  const codes = errorCodes.map((code) => `  | '${code}'`).join('\n');
  const all = [...declarations].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  return [
    '// The shapes of requests and responses. Generated from schemas/ by `npm run client:types`; do not edit.\n',
    `/** The codes of the server's errors. */\nexport type ErrorCode =\n${codes};\n`,
    ...all,
  ].join('\n');
}

function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  return z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12' }) as Json;
}

function declare(name: string, schema: Json, declarations: Map<string, string>): void {
  for (const [id, definition] of Object.entries((schema.$defs ?? {}) as Json)) {
    if (!declarations.has(typeName(id)) && id !== name) declare(id, definition as Json, declarations);
  }
  const type = typeName(name);
  if (declarations.has(type)) return;
  const { $ref } = schema;
  // A schema that has an id of its own, under which it stands among the definitions.
  const text =
    typeof $ref === 'string' && typeName(lastOf($ref)) === type
      ? typeOf((schema.$defs as Json)[lastOf($ref)] as Json, '')
      : typeOf(schema, '');
  const comment = commentOf(schema, '');
  declarations.set(type, `${comment}export type ${type} = ${text};\n`);
}

function typeName(id: string): string {
  return renamed[id] ?? id;
}

function lastOf(reference: string): string {
  return reference.split('/').at(-1) ?? reference;
}

function typeOf(schema: Json, indent: string): string {
  const { $ref, type, properties, items, prefixItems, additionalProperties, anyOf, oneOf, enum: values } = schema;
  if (typeof $ref === 'string') return typeName(lastOf($ref));
  if ('const' in schema) return literal(schema.const);
  if (values !== undefined && isCodes(values)) return 'ErrorCode';
  if (Array.isArray(values)) return values.map(literal).join(' | ');
  const options = (anyOf ?? oneOf) as Json[] | undefined;
  if (options) return [...new Set(options.map((option) => typeOf(option, indent)))].join(' | ');
  if (Array.isArray(prefixItems)) return `[${prefixItems.map((item) => typeOf(item as Json, indent)).join(', ')}]`;
  if (Array.isArray(type)) return type.map((each) => typeOf({ ...schema, type: each }, indent)).join(' | ');
  switch (type) {
    case 'string':
    case 'boolean':
    case 'null':
      return String(type);
    case 'integer':
    case 'number':
      return 'number';
    case 'array': {
      const item = typeOf((items ?? {}) as Json, indent);
      return isUnion((items ?? {}) as Json) ? `(${item})[]` : `${item}[]`;
    }
    case 'object':
      if (properties) return objectType(schema, indent);
      return `{ [name: string]: ${typeOf((additionalProperties ?? {}) as Json, indent)} }`;
    default:
      return 'unknown';
  }
}

function objectType({ properties, required, additionalProperties }: Json, indent: string): string {
  const needed = new Set<unknown>((required ?? []) as unknown[]);
  const inner = `${indent}  `;
  const fields = Object.entries(properties as Json).map(([name, schema]) => {
    const key = /^[a-zA-Z]\w*$/.test(name) ? name : `'${name}'`;
    const mark = needed.has(name) ? '' : '?';
    return `${commentOf(schema as Json, inner)}${inner}${key}${mark}: ${typeOf(schema as Json, inner)};\n`;
  });
  const isOpen = additionalProperties !== undefined && additionalProperties !== false;
  const rest = isOpen ? `${inner}[field: string]: unknown;\n` : '';
  return fields.length === 0 && !isOpen ? 'Record<string, never>' : `{\n${fields.join('')}${rest}${indent}}`;
}

function commentOf({ description }: Json, indent: string): string {
  return typeof description === 'string' ? `${indent}/** ${description.replaceAll('*/', '* /')} */\n` : '';
}

/** Whether the type of a schema has to stand in brackets. */
function isUnion({ anyOf, oneOf, enum: values, type }: Json): boolean {
  return [anyOf, oneOf, values, type].some((each) => Array.isArray(each) && each.length > 1 && !isCodes(each));
}

/** Whether an enum is that of all error codes, which has a name. */
function isCodes(values: unknown): boolean {
  return Array.isArray(values) && values.length === errorCodes.length && values.includes(errorCodes[0]);
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}

const [, program, file] = process.argv;
if (program && realpathSync(program) === fileURLToPath(import.meta.url)) {
  if (!file) throw new Error('usage: node dist/testbed/client-types.js FILE');
  writeFileSync(file, clientTypes());
}
