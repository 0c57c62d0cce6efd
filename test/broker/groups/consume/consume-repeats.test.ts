// Consume calls that are repeated, arrive twice or arrive late, with the parameter `after` and without it.
import t from 'tap';
import { consume, createTopic, join, produce } from '../../../helpers/groups.ts';
import { eventually, type HttpResponse, http, startTestServer } from '../../../helpers/server.ts';

const one = await startTestServer(t, { brokerId: 1001 });
const two = await startTestServer(t, { brokerId: 1002 }, one.target);

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const valuesOf = ({ body }: HttpResponse) => body.records.map(({ value }: { value: unknown }) => value);

/** A topic of one partition with a hundred records, and a group of its name with the member `m`. */
async function newGroup(name: string): Promise<(query: string, url?: string) => Promise<HttpResponse>> {
  await createTopic(one.url, name, 1);
  await produce(one.url, name, 0, numbers(0, 100));
  await join(one.url, name, { topics: [name], memberId: 'm' });
  return (query, url = one.url) => consume(url, name, 'm', `?maxRecords=10&commit=previous${query}`);
}

async function committed(group: string): Promise<number | null> {
  return (await http(`${two.url}/v1/groups/${group}`)).body.partitions[0].committed;
}

t.test('a call whose response was lost is repeated through any broker and gets the same response', async (t) => {
  const call = await newGroup('again');
  const first = await call('&after=0');
  t.same(valuesOf(first), numbers(0, 10));
  for (const url of [one.url, two.url]) {
    const again = await call('&after=0', url);
    t.equal(again.status, 200);
    t.same(again.body, first.body);
  }
  t.equal(await committed('again'), null, 'no caller has confirmed the response');
  const second = await call(`&after=${first.body.next}`, two.url);
  t.same(valuesOf(second), numbers(10, 20));
  t.equal(await committed('again'), 10);
  t.same((await call(`&after=${first.body.next}`)).body, second.body);
  t.equal(await committed('again'), 10);
  t.same(valuesOf(await call(`&after=${second.body.next}`)), numbers(20, 30));
});

t.test('a late copy of any earlier call moves no position', async (t) => {
  const call = await newGroup('late');
  const responses = [await call('&after=0')];
  for (let i = 0; i < 3; i += 1) responses.push(await call(`&after=${responses[i]!.body.next}`));
  t.same(valuesOf(responses[3]!), numbers(30, 40));
  t.match(await call('&after=0', two.url), { status: 409, body: { code: 'STALE_POSITION', after: 0 } });
  t.match(await call(`&after=${responses[0]!.body.next}`), { status: 409, body: { code: 'STALE_POSITION' } });
  t.same((await call(`&after=${responses[2]!.body.next}`, two.url)).body, responses[3]!.body);
  t.equal(await committed('late'), 30);
  t.same(valuesOf(await call(`&after=${responses[3]!.body.next}`)), numbers(40, 50));
});

t.test('a late copy releases no partition that its member may be using, and still returns its records', async (t) => {
  const call = await newGroup('lets-go');
  const first = await call('&after=0');
  await join(two.url, 'lets-go', { topics: ['lets-go'], memberId: 'a', assignor: 'range' });
  const owner = async () => (await http(`${one.url}/v1/nodes/consumers/lets-go/owners/lets-go/0`)).body;
  await eventually(async () => (await http(`${one.url}/v1/groups/lets-go`)).body.members.length === 2, 'both');
  const copy = await call('&after=0', two.url);
  t.same(valuesOf(copy), numbers(0, 10));
  t.same(copy.body.assignment, [], 'the member must release it');
  t.equal(await owner(), 'm');
  const next = await call(`&after=${first.body.next}`);
  t.same(next.body.records, []);
  t.equal(await owner(), 'a');
  t.same(
    (await consume(one.url, 'lets-go', 'a', '?maxRecords=2')).body.records.map((r: any) => r.offset),
    [10, 11],
  );
});

t.test(
  'of two calls at once the older one ends without records, and the member can continue from either response',
  async (t) => {
    const call = await newGroup('at-once');
    let { body } = await call('&after=0');
    while (body.records.length > 0) ({ body } = await call(`&after=${body.next}`));
    t.equal(await committed('at-once'), 100);
    const older = call(`&after=${body.next}&wait=30s`);
    await eventually(
      async () => /^weir_log_waits [1-9]/m.test((await http(`${one.url}/metrics`)).body),
      'the call waits',
    );
    const newer = call(`&after=${body.next}&wait=30s`, two.url);
    const ended = await older;
    t.match(ended.body, { records: [], next: body.next });
    await produce(one.url, 'at-once', 0, ['new']);
    t.same(valuesOf(await newer), ['new']);
    t.same(
      (await call(`&after=${ended.body.next}`)).body,
      (await newer).body,
      'a client that received the older response continues from it',
    );
  },
);

t.test('the response to a repeated call leaves out records that retention has removed', async (t) => {
  const call = await newGroup('retention');
  const first = await call('&after=0');
  await http(`${one.url}/v1/topics/retention/partitions/0/records?before=7`, 'DELETE');
  t.same(valuesOf(await call('&after=0')), [7, 8, 9]);
  await http(`${one.url}/v1/topics/retention/partitions/0/records?before=12`, 'DELETE');
  const none = await call('&after=0', two.url);
  t.match(none.body, { records: [], next: first.body.next });
  t.same(valuesOf(await call(`&after=${none.body.next}`)), numbers(12, 22));
});

t.test('a new incarnation begins with after=0, and calls of the old one are refused', async (t) => {
  const call = await newGroup('begins');
  const first = await call('&after=0');
  await join(two.url, 'begins', { topics: ['begins'], memberId: 'm' });
  t.match(await call(`&after=${first.body.next}`), { status: 409, body: { code: 'STALE_POSITION', given: 0 } });
  t.same(valuesOf(await call('&after=0')), numbers(0, 10));
  t.match(await call('&after=1'), { status: 409, body: { code: 'STALE_POSITION', detail: /from=committed/ } });
  const back = await call('&from=committed');
  t.same(valuesOf(back), numbers(0, 10));
  t.same(valuesOf(await call(`&after=${back.body.next}`)), numbers(10, 20));
  t.match(await call('&after=1&from=committed'), { status: 400, body: { code: 'BAD_REQUEST' } });
  t.match(await call('&after=-1'), { status: 400, body: { code: 'BAD_REQUEST' } });
});

t.test(
  'without the parameter after a copy is a new call: it commits the records returned before and reads the next ones',
  async (t) => {
    const call = await newGroup('plain');
    t.same(valuesOf(await call('')), numbers(0, 10));
    // The copy, whose response is discarded.
    await call('', two.url);
    t.equal(await committed('plain'), 10, 'although its client may still be processing them');
    t.same(valuesOf(await call('')), numbers(20, 30), 'the records returned to the copy are skipped');
    t.equal(await committed('plain'), 20);
  },
);
