// Makes a round trip with the types that openapi-typescript generates, and fetch: openapi-typescript.js URL
import type { components, paths } from './schema.js';

declare const process: { argv: string[] };

type Json<T> = T extends { content: { 'application/json': infer Body } } ? Body : never;
type Schemas = components['schemas'];

const url = process.argv[2];
const topic = 'generated-openapi-typescript';

async function send<T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> {
  const response = await fetch(url + path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return { status: response.status, body: (await response.json()) as T };
}

const written = await fetch(`${url}/v1/nodes/generated%2Fopenapi-typescript`, { method: 'PUT', body: 'blue' });
const node = (await written.json()) as Json<paths['/v1/nodes/{path}']['put']['responses'][201]>;
console.log('node', written.status, node.path);
console.log('read', await (await fetch(`${url}/v1/nodes${node.path}`)).text());
const wanted: Schemas['CreateSession'] = { ttl: '20s' };
console.log('session', (await send<Schemas['SessionCreated']>('POST', '/v1/sessions', wanted)).body.ttlMs);
const newTopic: Schemas['CreateTopic'] = { name: topic };
await send('POST', '/v1/topics', newTopic);
const records: Schemas['ProduceRecords'] = { records: [{ key: 'k', value: { n: 1 } }] };
const produced = await send<Schemas['Produced']>('POST', `/v1/topics/${topic}/records`, records);
console.log('produced', produced.body.results[0]?.count);
const fetched = await send<Schemas['Fetched']>('GET', `/v1/topics/${topic}/partitions/0/records`);
const [record] = fetched.body.records;
console.log('fetched', record?.key, JSON.stringify(record?.value), fetched.body.endOffset);
console.log('problem', (await send<Schemas['Problem']>('GET', '/v1/nodes/generated%2Fnone')).body.code);
