// Two programs with one memberId learn of each other: each incarnation of a member has a secret, which its calls name.
import t from 'tap';
import { redisCommand } from '../../../src/embedded-redis/redis-command.ts';
import { createTopic, produce } from '../../helpers/groups.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, type HttpResponse, http, startTestServer } from '../../helpers/server.ts';
import { openSocket } from '../../helpers/socket.ts';

const { socketPath } = await startTestRedis(t);
const one = await startTestServer(t, { brokerId: 1001 }, { socketPath });
const two = await startTestServer(t, { brokerId: 1002 }, { socketPath });
await createTopic(one.url, 'orders', 2);

/** One incarnation of member `m`, which names its secret, or none. */
class Caller {
  readonly members: string;
  readonly headers: Record<string, string>;
  readonly group: string;

  constructor(group: string, secret: string) {
    this.group = group;
    this.members = `/v1/groups/${group}/members`;
    this.headers = { 'weir-member': secret };
  }

  heartbeat = (url = one.url) => http(`${url}${this.members}/m/heartbeat`, 'POST', { memberEpoch: 1 }, this.headers);
  consume = (query = '', url = one.url) =>
    http(`${url}${this.members}/m/records${query}`, 'GET', undefined, this.headers);
  consumeByPost = (query = '') => http(`${one.url}${this.members}/m/records${query}`, 'POST', undefined, this.headers);
  commit = () => {
    const offsets = [{ topic: 'orders', partition: 0, offset: 0 }];
    return http(`${one.url}/v1/groups/${this.group}/offsets`, 'POST', { memberId: 'm', offsets }, this.headers);
  };
  leave = () => http(`${one.url}${this.members}/m`, 'DELETE', undefined, this.headers);
  join = (more: Record<string, string> = {}, body: Record<string, unknown> = {}) =>
    http(
      `${one.url}${this.members}`,
      'POST',
      { memberId: 'm', topics: ['orders'], reset: 'earliest', ...body },
      { ...this.headers, ...more },
    );

  /** Every call that speaks for the member, but for its end. */
  all = (): Promise<HttpResponse[]> =>
    Promise.all([this.heartbeat(), this.consume(), this.consumeByPost(), this.commit()]);
}

async function joined(group: string): Promise<Caller> {
  const { status, body } = await new Caller(group, '').join();
  if (status !== 201) throw new Error(JSON.stringify(body));
  return new Caller(group, body.memberSecret);
}

t.test('each call of a member needs its secret', async (t) => {
  const member = await joined('needs');
  for (const { status } of await member.all()) t.equal(status, 200);
  for (const secret of ['', 'guessed', `${member.headers['weir-member']}x`]) {
    const other = new Caller('needs', secret);
    for (const response of [...(await other.all()), await other.leave()]) {
      t.match(response, {
        status: 403,
        body: { code: 'FORBIDDEN', memberId: 'm', detail: /memberSecret|Weir-Member/ },
      });
      if (secret !== '') t.notMatch(JSON.stringify(response.body), secret, 'what was sent is not shown');
    }
  }
  t.equal((await new Caller('needs', 'guessed').join()).status, 403);
  t.equal((await member.leave()).status, 204);
});

t.test(
  'who joins as a member that there is, without its secret, ends the one before, through any broker',
  async (t) => {
    const first = await joined('again');
    const waiting = first.consume('?wait=30s', two.url);
    await eventually(async () => (await http(`${one.url}/v1/groups/again/offsets`)).status === 200, 'the group');
    const second = await joined('again');
    t.match(
      await waiting,
      { status: 409, body: { code: 'MEMBER_SUPERSEDED', memberId: 'm' } },
      'also a call that waits',
    );
    for (const response of [
      ...(await first.all()),
      await first.leave(),
      await first.join(),
      await first.heartbeat(two.url),
    ]) {
      t.match(response, { status: 409, body: { code: 'MEMBER_SUPERSEDED' } });
    }
    for (const { status } of await second.all()) t.equal(status, 200);
    const again = await second.join();
    t.equal(again.body.memberSecret, second.headers['weir-member'], 'with its secret it goes on as the same');
    for (let i = 0; i < 5; i += 1) await joined('again');
    t.equal((await second.heartbeat()).status, 409, 'the last five are remembered');
    t.equal((await first.heartbeat()).status, 403, 'and those before them are no better than a guess');
  },
);

t.test('a member on a socket has no secret, and ends one that has, as that does it', async (t) => {
  const member = await joined('socket');
  const stream = () => openSocket(t, `${two.url}/v1/groups/socket/stream?topics=orders&memberId=m`);
  const socket = await stream();
  t.equal((await socket.frame({ type: 'joined' })).memberSecret, undefined);
  t.match(await member.consume(), { status: 409, body: { code: 'MEMBER_SUPERSEDED' } });
  const next = await joined('socket');
  t.equal(await socket.closed, 4409);
  t.match(await socket.frame({ type: 'error' }), { code: 'MEMBER_SUPERSEDED' });
  t.equal((await next.consume()).status, 200);
});

t.test(
  'a secret is stored only as a hash, and is in no node, description or response except that of its join',
  async (t) => {
    const group = 'hidden';
    const key = { 'idempotency-key': 'f2b1c0de-0000-4000-8000-000000000001' };
    const { body } = await new Caller(group, '').join(key);
    const secret: string = body.memberSecret;
    t.match(secret, /^[\w-]{32}$/);
    const replayed = await new Caller(group, '').join(key);
    t.equal(replayed.headers.get('idempotency-replayed'), 'true');
    t.equal(replayed.body.memberSecret, secret, 'a repeat with the same Idempotency-Key gets it again');
    const short = await new Caller(group, '').join({ 'idempotency-key': 'short' });
    t.match(short, { status: 400, body: { code: 'BAD_REQUEST', detail: /16/ } });
    const member = new Caller(group, secret);
    const said = await Promise.all([
      http(`${one.url}/v1/groups/${group}`),
      http(`${one.url}/v1/nodes/consumers/${group}?view=tree&depth=5`),
      http(`${one.url}/v1/nodes/consumers/${group}/ids/m`),
      member.consume(),
      member.heartbeat(),
      http(`${one.url}/metrics`),
    ]);
    for (const { body } of said) t.notMatch(JSON.stringify(body), secret);
    const redis = async (...words: string[]): Promise<any> => redisCommand(socketPath, words);
    for (const name of await redis('KEYS', '*')) {
      const dump = await redis(
        'EVAL',
        'local t = redis.call("TYPE", KEYS[1]).ok; local r = t == "hash" and redis.call("HGETALL", KEYS[1]) or t == "string" and { redis.call("GET", KEYS[1]) } or {}; return table.concat(r, " ")',
        '1',
        name,
      );
      t.notOk(String(dump).includes(secret), `${name} has no secret`);
    }
  },
);

t.test('a member that joined before there were secrets needs none until it joins again', async (t) => {
  const member = await joined('old');
  const key = 'weir:{weir}:group:old';
  const keys: any = await redisCommand(socketPath, ['KEYS', '*:group:old']);
  const name = keys.length === 1 ? keys[0] : key;
  const document = JSON.parse(String(await redisCommand(socketPath, ['HGET', name, 'document'])));
  delete document.members.m.secretHash;
  // As a broker of an older version would have stored it, under another version.
  const version = String(Number(await redisCommand(socketPath, ['HGET', name, 'version'])) + 1_000_000);
  await redisCommand(socketPath, ['HSET', name, 'document', JSON.stringify(document), 'version', version]);
  for (const { status } of await new Caller('old', '').all()) t.equal(status, 200);
  const next = await joined('old');
  t.equal((await new Caller('old', '').consume()).status, 403);
  t.equal((await next.consume()).status, 200);
  t.equal((await member.consume()).status, 403);
});

t.test('a consume call by POST does what one by GET does', async (t) => {
  await createTopic(one.url, 'post', 1);
  await produce(one.url, 'post', 0, ['a', 'b']);
  const { body } = await new Caller('post', '').join({}, { topics: ['post'] });
  const member = new Caller('post', body.memberSecret);
  const first = await member.consumeByPost('?maxRecords=1&after=0&commit=previous');
  t.match(first.body, {
    records: [{ topic: 'post', partition: 0, offset: 0, value: 'a' }],
    partitions: [{ topic: 'post', partition: 0, nextOffset: 1 }],
  });
  t.same((await member.consume('?maxRecords=1&after=0&commit=previous')).body, first.body, 'they are one call');
  const second = await member.consumeByPost(`?after=${first.body.next}&commit=previous`);
  t.match(second.body, { records: [{ value: 'b' }], partitions: [{ nextOffset: 2 }] });
  t.equal((await member.consumeByPost('?after=0')).body.code, 'STALE_POSITION');
  t.equal((await member.consumeByPost('?maxRecord=1')).body.code, 'BAD_REQUEST');
  const url = `${one.url}/v1/groups/post/members/m/records`;
  const withBody = await http(url, 'POST', { maxRecords: 1 }, member.headers);
  t.match(withBody, { status: 400, body: { code: 'BAD_REQUEST', detail: /query/ } });
});
