// Topics for tests of records, and their URLs through two brokers.
import type { Test } from 'tap';
import { http, startTestServer, type TestServer } from './server.ts';

export interface TestTopic {
  name: string;
  /** Its URL, through one broker and the other. */
  topic: string;
  otherTopic: string;
  /** The URL of its records, likewise. */
  all: string;
  otherAll: string;
  /** The URL of one partition's records, through the first broker or the other. */
  partition(partition: number, through?: 'other'): string;
}

export interface TestBrokers {
  server: TestServer;
  other: TestServer;
  /** Records of any age are accepted and kept, unless `more` sets other limits. */
  newTopic(t: Test, more?: { config?: Record<string, unknown>; [field: string]: unknown }): Promise<TestTopic>;
}

/** Two brokers over one store, and a function that creates topics that no other test uses. */
export async function startTestBrokers(t: Test): Promise<TestBrokers> {
  const server = await startTestServer(t, { brokerId: 1001 });
  const other = await startTestServer(t, { brokerId: 1002 }, server.target);
  let count = 0;
  return {
    server,
    other,
    async newTopic(t, more = {}) {
      count += 1;
      const name = `topic-${count}`;
      const ages = { 'message.timestamp.before.max.ms': Number.MAX_SAFE_INTEGER, 'message.timestamp.after.max.ms': -1 };
      const config = { 'retention.ms': -1, ...ages, ...more.config };
      const created = await http(`${server.url}/v1/topics`, 'POST', { name, ...more, config });
      t.equal(created.status, 201);
      const topic = `${server.url}/v1/topics/${name}`;
      const otherTopic = `${other.url}/v1/topics/${name}`;
      return {
        name,
        topic,
        otherTopic,
        all: `${topic}/records`,
        otherAll: `${otherTopic}/records`,
        partition: (partition, through) => `${through ? otherTopic : topic}/partitions/${partition}/records`,
      };
    },
  };
}

/** The values of fetched records. */
export const values = (body: { records: { value: unknown }[] }): unknown[] => body.records.map(({ value }) => value);

export const ndjson = { 'content-type': 'application/x-ndjson' };

/** The unparsed text of a response. */
export async function textOf(url: string): Promise<string> {
  return (await fetch(url)).text();
}
