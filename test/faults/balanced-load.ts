// The work of rolling-restart.test.ts: clients that do one thing after the other through one address, note what failed, and
// keep what they were promised.
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { type Answer, eventually, http } from '../helpers/server.ts';

export interface Failure {
  what: string;
  /** When it was begun, on the clock of moment(). */
  begun: number;
  how: string;
}

/** An answer that takes longer is none. */
const answerWithinMs = 20_000;
/** Between two requests of a client. */
const paceMs = 10;

export class BalancedLoad {
  readonly #url: string;
  /** Ends the clients that write, and later the others, too. */
  readonly #written = new AbortController();
  readonly #stopped = new AbortController();
  readonly #writers: Promise<void>[] = [];
  readonly #readers: Promise<void>[] = [];
  #failures: Failure[] = [];
  /** How many times each client has done its work. */
  readonly #done = new Map<string, number>();
  #clock = 0;
  #nextValue = 0;
  #watchedUpTo = 0;
  requests = 0;
  /** How often the watch was opened. */
  sockets = 0;
  /** Values of records that were acknowledged, and that the group's member was given. */
  readonly acknowledged = new Set<number>();
  readonly consumed = new Set<number>();
  /** Zxids of writes that were acknowledged, and that the watch was told of. */
  readonly written = new Set<number>();
  readonly watched = new Set<number>();
  /** What the watch should not have been told. */
  readonly watchProblems: string[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  /** Makes what the clients use, and lets them begin. */
  async start(): Promise<void> {
    const made = async (method: string, path: string, body: unknown) => {
      const answer = await http(this.#url + path, method, body);
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
      return answer.body;
    };
    await made('POST', '/v1/topics', { name: 'load', replicationFactor: 3 });
    await made('POST', '/v1/groups/load/members', { memberId: 'm', topics: ['load'], reset: 'earliest' });
    this.#watchedUpTo = (await made('PUT', '/v1/nodes/load', '')).stat.mzxid;
    const { session } = await made('POST', '/v1/sessions', { ttl: '5s' });
    await made('PUT', `/v1/nodes/alive?mode=ephemeral&session=${session}`, '');
    this.#client('producer 1', this.#written.signal, () => this.#produce());
    this.#client('producer 2', this.#written.signal, () => this.#produce());
    this.#client('writer', this.#written.signal, () => this.#write());
    this.#client('member', this.#stopped.signal, this.#member());
    this.#client('session', this.#stopped.signal, async () => {
      await this.#request('PUT', `/v1/sessions/${session}`);
      await this.#request('GET', '/v1/nodes/alive');
    });
    this.#client('long poll', this.#stopped.signal, this.#longPoll());
    this.#client('watch', this.#stopped.signal, () => this.#watch());
    await this.progress();
  }

  /** Lets the readers have what was written, and ends. */
  async stop(): Promise<void> {
    this.#written.abort();
    await Promise.all(this.#writers);
    const isBehind = () =>
      [...this.acknowledged].some((value) => !this.consumed.has(value)) ||
      [...this.written].some((zxid) => !this.watched.has(zxid));
    // What does not come is for the test to find.
    await eventually(() => !isBehind(), 'the readers are there').catch(() => undefined);
    this.#stopped.abort();
    await Promise.all(this.#readers);
  }

  /** A moment on the clock of the requests: what is begun later has a larger one. */
  moment(): number {
    this.#clock += 1;
    return this.#clock;
  }

  /** Waits until each client has done its work once more; the watch is told what the writer does. */
  async progress(): Promise<void> {
    const before = new Map(this.#done);
    const has = (client: string) => (this.#done.get(client) ?? 0) > (before.get(client) ?? 0);
    const clients = ['producer 1', 'producer 2', 'writer', 'member', 'session', 'long poll', 'told'];
    await eventually(() => clients.every(has), 'every client goes on', 30_000);
  }

  /** The failures so far; each is given once. */
  takeFailures(): Failure[] {
    const failures = this.#failures;
    this.#failures = [];
    return failures;
  }

  #client(name: string, signal: AbortSignal, work: () => Promise<void>): void {
    const run = async () => {
      while (!signal.aborted) {
        await work();
        this.#count(name);
        await pause(paceMs);
      }
    };
    (signal === this.#written.signal ? this.#writers : this.#readers).push(run());
  }

  #count(client: string): void {
    this.#done.set(client, (this.#done.get(client) ?? 0) + 1);
  }

  /** @returns undefined for a request that failed */
  async #request(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer | undefined> {
    const begun = this.moment();
    this.requests += 1;
    const failed = (how: string) => {
      // No handle in what a test prints, even here.
      this.#failures.push({ what: `${method} ${path.replace(/[^/=]*\.[^/]*$/, '…')}`, begun, how });
      return undefined;
    };
    try {
      const answer = await http(this.#url + path, method, body, headers, AbortSignal.timeout(answerWithinMs));
      return answer.status < 400 ? answer : failed(`${answer.status} ${JSON.stringify(answer.body)}`);
    } catch (error) {
      return failed(`${error} ${(error as Error).cause ?? ''}`);
    }
  }

  async #produce(): Promise<void> {
    const values = Array.from({ length: 5 }, () => this.#nextValue++);
    const records = values.map((value) => ({ value }));
    if (await this.#request('POST', '/v1/topics/load/records', { records })) {
      for (const value of values) this.acknowledged.add(value);
    }
  }

  async #write(): Promise<void> {
    const answer = await this.#request('PUT', '/v1/nodes/load', String(this.moment()));
    if (answer) this.written.add(answer.body.stat.mzxid);
  }

  #member(): () => Promise<void> {
    let from = 'committed';
    return async () => {
      const path = `/v1/groups/load/members/m/records?wait=1s&commit=previous&from=${from}`;
      const answer = await this.#request('GET', path);
      // Who has had no answer goes back to what is committed.
      from = answer ? 'position' : 'committed';
      for (const { value } of answer?.body.records ?? []) this.consumed.add(value);
    };
  }

  #longPoll(): () => Promise<void> {
    let tag = '"0"';
    return async () => {
      const answer = await this.#request('GET', '/v1/nodes/load?wait=1s', undefined, { 'if-none-match': tag });
      tag = answer?.headers.get('etag') ?? tag;
    };
  }

  /** One socket, until it is closed; the next one goes on from what this one was told. */
  async #watch(): Promise<void> {
    const begun = this.moment();
    this.sockets += 1;
    const ws = new WebSocket(`${this.#url.replace('http', 'ws')}/v1/watch`);
    const stop = () => ws.close();
    this.#stopped.signal.addEventListener('abort', stop);
    const since = this.#watchedUpTo;
    ws.on('open', () => ws.send(JSON.stringify({ type: 'watch', id: 'w', path: '/load', mode: 'node', since })));
    ws.on('message', (data: Buffer) => this.#told(JSON.parse(data.toString())));
    const how = await new Promise<string>((resolve) => {
      ws.on('error', (error) => resolve(String(error)));
      ws.on('close', (code) => resolve(String(code)));
    });
    this.#stopped.signal.removeEventListener('abort', stop);
    // A broker that stops says so.
    if (how !== '1001' && !this.#stopped.signal.aborted) this.#failures.push({ what: 'watch', begun, how });
  }

  #told(frame: { type: string; zxid: number }): void {
    if (frame.type === 'error') this.watchProblems.push(JSON.stringify(frame));
    if (frame.type !== 'events') return;
    if (frame.zxid <= this.#watchedUpTo) this.watchProblems.push(`${frame.zxid} came after ${this.#watchedUpTo}`);
    this.#watchedUpTo = frame.zxid;
    this.watched.add(frame.zxid);
    this.#count('told');
  }
}
