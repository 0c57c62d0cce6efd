// Clients with normal use, each on connections of its own: they renew a session that holds a lock, produce, write, watch, are
// members of a group, and commit. They record the time and the failures of each kind of request.
import { Agent, type IncomingMessage, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { WebSocket } from 'ws';

/** Kinds of requests that have reserved capacity (guarantee E6). */
export const reservedKinds = ['renewal', 'heartbeat', 'commit', 'health'];

interface Response {
  status: number;
  body: any;
}

export interface Account {
  requests: number;
  failures: string[];
  longestMs: number;
}

const json = { 'content-type': 'application/json' };
const text = { 'content-type': 'text/plain' };
/** Longer than any response of the service may take, and short enough that the test ends. */
const replyMsMax = 20_000;

export class HonestClients {
  readonly #url: string;
  readonly #address: string;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  #accounts = new Map<string, Account>();
  readonly #produced: string[] = [];
  readonly #written: number[] = [];
  readonly #seen: number[] = [];
  #session = '';
  #watcher: WebSocket | undefined;
  #since = 0;

  constructor(url: string, address: string) {
    this.#url = url;
    this.#address = address;
  }

  /** Creates the objects that the clients need, and starts the clients. */
  async start(): Promise<void> {
    const agent = this.#agent();
    await this.#once(agent, 'POST', '/v1/topics', '{"name":"honest","partitions":2}');
    await this.#once(agent, 'POST', '/v1/topics', '{"name":"hostile","partitions":1}');
    await this.#once(agent, 'PUT', '/v1/nodes/honest', '0', text);
    const session = await this.#once(agent, 'POST', '/v1/sessions', '{"ttl":"5s"}');
    this.#session = session.body.session;
    const lock = await this.#once(
      agent,
      'PUT',
      `/v1/nodes/honest/lock?mode=ephemeral&session=${this.#session}`,
      'mine',
      text,
    );
    if (lock.status !== 201) throw new Error(`The request for the lock got ${lock.status}`);
    this.#since = lock.body.stat.czxid;
    const join = '{"memberId":"m","topics":["honest"],"reset":"earliest","sessionTimeout":"10s"}';
    const member = (await this.#once(agent, 'POST', '/v1/groups/honest/members', join)).body;
    const asMember: Record<string, string> = member.memberSecret
      ? { ...json, 'weir-member': member.memberSecret }
      : json;
    agent.destroy();
    this.#watch();
    const heartbeat = JSON.stringify({
      memberEpoch: member.memberEpoch,
      owned: [{ topic: 'honest', partitions: [0, 1] }],
    });
    const commit = JSON.stringify({
      memberId: 'm',
      memberEpoch: member.memberEpoch,
      offsets: [{ topic: 'honest', partition: 0, offset: 0 }],
    });
    this.#every(1000, 'renewal', () => ['PUT', `/v1/sessions/${this.#session}`]);
    this.#every(1000, 'heartbeat', () => ['POST', '/v1/groups/honest/members/m/heartbeat', heartbeat, asMember]);
    this.#every(1000, 'commit', () => ['POST', '/v1/groups/honest/offsets', commit, asMember]);
    this.#every(500, 'health', () => ['GET', '/health/ready']);
    this.#every(200, 'lock', () => ['GET', '/v1/nodes/honest/lock']);
    this.#every(100, 'produce', () => {
      const value = `r${this.#produced.length}`;
      this.#produced.push(value);
      const body = JSON.stringify({ records: [{ key: value, value }] });
      return ['POST', '/v1/topics/honest/records', body, { ...json, 'idempotency-key': `honest-${value}` }];
    });
    this.#every(100, 'write', () => {
      const number = this.#written.length + 1;
      this.#written.push(number);
      // A request that is repeated, as its result is unknown, must not be carried out twice.
      const key = { 'idempotency-key': `honest-write-${number}` };
      return ['PUT', '/v1/nodes/honest/counter', String(number), { ...text, ...key }];
    });
  }

  /** Times and failures by kind since the last call. */
  take(): Map<string, Account> {
    const taken = this.#accounts;
    this.#accounts = new Map();
    return taken;
  }

  /** Ends all clients. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
    this.#watcher?.terminate();
  }

  /** Ends all requests, and compares the state of the service with the acknowledged requests. */
  async finish(t: Test): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
    const agent = this.#agent();
    // The last requests of the attackers may still be in flight.
    const read = async (path: string) => {
      for (;;) {
        const response = await this.#once(agent, 'GET', path);
        if (response.status !== 429 && response.status !== 503) return response;
        await pause(100);
      }
    };
    const lock = await read('/v1/nodes/honest/lock');
    t.equal(lock.status, 200, 'the lock is still held');
    const last = this.#written.at(-1);
    while (this.#watcher?.readyState === WebSocket.OPEN && this.#seen.at(-1) !== last) await pause(20);
    this.#watcher?.terminate();
    t.same(this.#seen, this.#written, 'the watcher received each write once, in order');
    const records: string[] = [];
    for (const partition of [0, 1]) {
      for (let offset = 0; ; ) {
        const path = `/v1/topics/honest/partitions/${partition}/records?offset=${offset}`;
        const { body } = await read(path);
        records.push(...body.records.map(({ value }: { value: string }) => value));
        if (body.nextOffset >= body.endOffset) break;
        offset = body.nextOffset;
      }
    }
    t.same(records.sort(), [...this.#produced].sort(), 'each record is stored once');
    const members = (await read('/v1/groups/honest')).body.members;
    t.equal(members.length, 1, 'the member is still in the group');
    agent.destroy();
  }

  #agent(): Agent {
    return new Agent({ keepAlive: true, maxSockets: 1, localAddress: this.#address });
  }

  /** Sends requests of a kind in a loop; a request that fails is repeated unchanged until it succeeds. */
  #every(
    ms: number,
    kind: string,
    next: () => [method: string, path: string, body?: string, headers?: Record<string, string>],
  ): void {
    const run = async () => {
      const agent = this.#agent();
      while (!this.#stop.signal.aborted) {
        const [method, path, body, headers] = next();
        for (;;) {
          const startedAt = performance.now();
          const response = await this.#once(agent, method, path, body, headers);
          this.#note(kind, performance.now() - startedAt, response);
          if (response.status >= 200 && response.status < 300) break;
          if (this.#stop.signal.aborted && !['produce', 'write'].includes(kind)) break;
          await pause(100);
        }
        await pause(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      }
      agent.destroy();
    };
    this.#running.push(run());
  }

  #note(kind: string, ms: number, { status, body }: Response): void {
    const account = this.#accounts.get(kind) ?? { requests: 0, failures: [], longestMs: 0 };
    this.#accounts.set(kind, account);
    account.requests += 1;
    account.longestMs = Math.max(account.longestMs, ms);
    if (status < 200 || status >= 300) account.failures.push(`${status} ${body?.code ?? body}`);
  }

  #once(
    agent: Agent,
    method: string,
    path: string,
    body = '',
    headers: Record<string, string> = json,
  ): Promise<Response> {
    return new Promise((resolve) => {
      const length = { ...headers, 'content-length': String(Buffer.byteLength(body)) };
      const sent = request(
        this.#url + path,
        { method, agent, headers: body === '' ? {} : length, timeout: replyMsMax },
        (response: IncomingMessage) => {
          let received = '';
          response.setEncoding('utf8');
          response.on('data', (part) => {
            received += part;
          });
          response.on('close', () => {
            const isJson = /json/.test(response.headers['content-type'] ?? '');
            resolve({ status: response.statusCode ?? 0, body: isJson ? JSON.parse(received) : received });
          });
        },
      );
      sent.on('timeout', () => sent.destroy(new Error(`no response within ${replyMsMax} ms`)));
      sent.on('error', (error) => resolve({ status: 0, body: error.message }));
      sent.end(body);
    });
  }

  /** Watches the counter; after a close it opens a new socket and resumes. */
  #watch(): void {
    const ws = new WebSocket(`${this.#url.replace('http', 'ws')}/v1/watch`, { localAddress: this.#address });
    this.#watcher = ws;
    ws.on('open', () => {
      ws.send(
        JSON.stringify({
          type: 'watch',
          id: 'c',
          path: '/honest/counter',
          mode: 'node',
          data: true,
          since: this.#since,
        }),
      );
    });
    ws.on('message', (message) => {
      const frame = JSON.parse(message.toString());
      if (frame.type === 'error') this.#note('watch', 0, { status: 400, body: frame });
      if (frame.type !== 'events') return;
      this.#since = frame.zxid;
      for (const event of frame.events) if (event.data !== undefined) this.#seen.push(Number(event.data));
    });
    ws.on('error', (error) => this.#note('watch', 0, { status: 0, body: error.message }));
    ws.on('close', (code) => {
      if (this.#stop.signal.aborted) return;
      this.#note('watch', 0, { status: 0, body: `closed ${code}` });
      setTimeout(() => this.#watch(), 200);
    });
  }
}
