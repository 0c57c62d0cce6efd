// The largest calls of the group scripts: as many partitions as a group may have, and as many offsets as a commit may have.
import { range, type ScriptCase, type ScriptSite } from './site.ts';

const topics = 5;
const partitions = 500;

export function groupCases({ server }: ScriptSite): ScriptCase[] {
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${server.url}/v1${path}`, {
      method,
      headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  const names = range(topics, (i) => `wide-${i}`);
  let made = false;
  const makeTopics = async () => {
    if (made) return;
    for (const name of names) await ask('POST', '/topics', { name, partitions });
    made = true;
  };
  let next = 0;
  let memberSecret = '';
  const group = () => `g${next}`;
  const join = (memberId: string) => ask('POST', `/groups/${group()}/members`, { memberId, topics: names });
  const offsets = (topic: string) => range(partitions, (partition) => ({ topic, partition, offset: 0 }));
  return [
    {
      what: `a member joins: ${topics} topics of ${partitions} partitions`,
      scripts: ['groups/apply'],
      prepare: async () => {
        await makeTopics();
        next += 1;
      },
      run: () => join('one'),
    },
    {
      what: `it leaves: ${topics} topics of ${partitions} partitions`,
      scripts: ['groups/apply-allow-oom'],
      prepare: async () => {
        next += 1;
        ({ memberSecret } = await join('one'));
      },
      run: () => ask('DELETE', `/groups/${group()}/members/one`, undefined, { 'weir-member': memberSecret }),
    },
    {
      what: '2,500 offsets are committed',
      scripts: ['groups/commit-offsets'],
      prepare: async () => {
        next += 1;
      },
      run: () => ask('POST', `/groups/${group()}/offsets`, { offsets: names.flatMap(offsets) }),
    },
    {
      what: 'a group with 2,500 committed offsets is described, and deleted',
      scripts: ['groups/offsets', 'groups/get', 'groups/apply-allow-oom'],
      prepare: async () => {
        next += 1;
        await ask('POST', `/groups/${group()}/offsets`, { offsets: names.flatMap(offsets) });
      },
      run: async () => {
        await ask('GET', `/groups/${group()}/offsets`);
        await ask('DELETE', `/groups/${group()}`);
      },
    },
    {
      what: '200 members join at once, and the groups are listed',
      scripts: ['groups/apply', 'groups/survey', 'groups/list'],
      prepare: async () => {
        next += 1;
      },
      run: async () => {
        await Promise.all(range(200, (i) => join(`m${i}`)));
        await ask('GET', '/groups');
        await fetch(`${server.url}/metrics`);
      },
    },
  ];
}
