// Makes a round trip with the client that openapi-generator makes for TypeScript: typescript-fetch.js URL
import { Configuration, NodesApi, ResponseError, SessionsApi, TopicsApi } from './client/index.js';

declare const process: { argv: string[] };

const configuration = new Configuration({ basePath: process.argv[2] });
const nodes = new NodesApi(configuration);
const topics = new TopicsApi(configuration);
const topic = 'generated-typescript-fetch';

const created = await nodes.nodesPutRaw({ path: 'generated/typescript-fetch', body: 'blue' });
console.log('node', created.raw.status, (await created.value()).path);
console.log('read', await nodes.nodesGet({ path: 'generated/typescript-fetch' }));
const session = await new SessionsApi(configuration).sessionsCreate({ createSession: { ttl: '20s' } });
console.log('session', session.ttlMs);
await topics.topicsCreate({ createTopic: { name: topic } });
const produced = await topics.recordsProduce({ topic, produceRecords: { records: [{ key: 'k', value: { n: 1 } }] } });
console.log('produced', produced.results[0]?.count);
const fetched = await topics.recordsFetch({ topic, partition: 0 });
console.log('fetched', fetched.records[0]?.key, JSON.stringify(fetched.records[0]?.value), fetched.endOffset);
try {
  await nodes.nodesGet({ path: 'generated/none' });
} catch (error) {
  if (!(error instanceof ResponseError)) throw error;
  console.log('problem', (await error.response.json()).code);
}
