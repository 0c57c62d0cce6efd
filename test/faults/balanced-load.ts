// The load of rolling-restart.test.ts: clients that send one request after the other to one address, and record failures and
// acknowledged results.
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { eventually, type HttpResponse, http } from '../helpers/server.ts';

export interface Failure {
  what: string;
  /** The start of the request, on the clock of moment(). */
  begun: number;
  how: string;
}

/** A request without a response after this time has failed. */
const responseMsMax = 20_000;
/** The pause between two requests of a client. */
const paceMs = 10;

export class BalancedLoad {
  readonly #url: string;
  /** Ends the clients that write, and after them the others. */
  readonly #written = new AbortController();
  readonly #stopped = new AbortController();
  readonly #writers: Promise<void>[] = [];
  readonly #readers: Promise<void>[] = [];
  #failures: Failure[] = [];
  /** How many rounds each client has completed. */
  readonly #done = new Map<string, number>();
  #clock = 0;
  #nextValue = 0;
  #watchedUpTo = 0;
  requests = 0;
  /** How often the watch was opened. */
  sockets = 0;
  /** Values of records that were acknowledged, and of those that the group member received. */
  readonly acknowledged = new Set<number>();
  readonly consumed = new Set<number>();
  /** Zxids of writes that were acknowledged, and of those that the watch received. */
  readonly written = new Set<number>();
  readonly watched = new Set<number>();
  /** Events that the watch should not have received. */
  readonly watchProblems: string[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  /** Creates the objects that the clients use, and starts the clients. */
  async start(): Promise<void> {
    const made = async (method: string, path: string, body: unknown) => {
      const response = await http(this.#url + path, method, body);
      if (response.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(response.body)}`);
      return response.body;
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

  /** Waits until the readers have received everything that was written, and ends. */
  async stop(): Promise<void> {
    this.#written.abort();
    await Promise.all(this.#writers);
    const isBehind = () =>
      [...this.acknowledged].some((value) => !this.consumed.has(value)) ||
      [...this.written].some((zxid) => !this.watched.has(zxid));
    // The test reports what is still missing.
    await eventually(() => !isBehind(), 'the readers are there').catch(() => undefined);
    this.#stopped.abort();
    await Promise.all(this.#readers);
  }

  /** A time on the clock of the requests: a request that starts later has a higher one. */
  moment(): number {
    this.#clock += 1;
    return this.#clock;
  }

  /** Waits until each client has completed another round, and the watch has received the writes. */
  async progress(): Promise<void> {
    const before = new Map(this.#done);
    const has = (client: string) => (this.#done.get(client) ?? 0) > (before.get(client) ?? 0);
    const clients = ['producer 1', 'producer 2', 'writer', 'member', 'session', 'long poll', 'events'];
    await eventually(() => clients.every(has), 'every client makes progress', 30_000);
  }

  /** The failures so far; each is returned once. */
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
  ): Promise<HttpResponse | undefined> {
    const begun = this.moment();
    this.requests += 1;
    const failed = (how: string) => {
      // The output of a test must not contain session handles.
      this.#failures.push({ what: `${method} ${path.replace(/[^/=]*\.[^/]*$/, '…')}`, begun, how });
      return undefined;
    };
    try {
      const response = await http(this.#url + path, method, body, headers, AbortSignal.timeout(responseMsMax));
      return response.status < 400 ? response : failed(`${response.status} ${JSON.stringify(response.body)}`);
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
    const response = await this.#request('PUT', '/v1/nodes/load', String(this.moment()));
    if (response) this.written.add(response.body.stat.mzxid);
  }

  #member(): () => Promise<void> {
    let from = 'committed';
    return async () => {
      const path = `/v1/groups/load/members/m/records?wait=1s&commit=previous&from=${from}`;
      const response = await this.#request('GET', path);
      // After a call without a response the member continues at the committed offsets.
      from = response ? 'position' : 'committed';
      for (const { value } of response?.body.records ?? []) this.consumed.add(value);
    };
  }

  #longPoll(): () => Promise<void> {
    let tag = '"0"';
    return async () => {
      const response = await this.#request('GET', '/v1/nodes/load?wait=1s', undefined, { 'if-none-match': tag });
      tag = response?.headers.get('etag') ?? tag;
    };
  }

  /** One socket, until it is closed; the next one resumes after its last message. */
  async #watch(): Promise<void> {
    const begun = this.moment();
    this.sockets += 1;
    const ws = new WebSocket(`${this.#url.replace('http', 'ws')}/v1/watch`);
    const stop = () => ws.close();
    this.#stopped.signal.addEventListener('abort', stop);
    const since = this.#watchedUpTo;
    ws.on('open', () => ws.send(JSON.stringify({ type: 'watch', id: 'w', path: '/load', mode: 'node', since })));
    ws.on('message', (data: Buffer) => this.#onFrame(JSON.parse(data.toString())));
    const how = await new Promise<string>((resolve) => {
      ws.on('error', (error) => resolve(String(error)));
      ws.on('close', (code) => resolve(String(code)));
    });
    this.#stopped.signal.removeEventListener('abort', stop);
    // A broker that stops closes the socket with a code.
    if (how !== '1001' && !this.#stopped.signal.aborted) this.#failures.push({ what: 'watch', begun, how });
  }

  #onFrame(frame: { type: string; zxid: number }): void {
    if (frame.type === 'error') this.watchProblems.push(JSON.stringify(frame));
    if (frame.type !== 'events') return;
    if (frame.zxid <= this.#watchedUpTo) this.watchProblems.push(`${frame.zxid} came after ${this.#watchedUpTo}`);
    this.#watchedUpTo = frame.zxid;
    this.watched.add(frame.zxid);
    this.#count('events');
  }
}
