// Clients that make random changes of the tree below /t through any broker, and clients that renew sessions. They record
// what was acknowledged.
import { errorCodes } from '../../schemas/errors.ts';
import type { Transaction } from '../../src/store/tree/node-codec.ts';
import type { Random } from '../helpers/random.ts';
import { type HttpResponse, http } from '../helpers/server.ts';
import { count, goesOn } from './fault-log.ts';

const names = ['a', 'b', 'c'];

export class Writer {
  /** Acknowledged changes: the transaction, and a path that it changed. */
  readonly acknowledged: { zxid: number; path: string }[] = [];
  /** The data of changes that were certainly not made, by their responses. */
  readonly refused = new Set<string>();
  /** Counts of responses by code, which show that the client makes progress. */
  readonly outcomes = new Map<string, number>();
  readonly problems: string[] = [];
  readonly #name: string;
  readonly #urls: string[];
  readonly #random: Random;
  #session: string | undefined;
  #requests = 0;

  constructor(name: string, urls: string[], random: Random) {
    this.#name = name;
    this.#urls = urls;
    this.#random = random;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (await goesOn(this.#random.between(0, 15), signal)) await this.#act();
  }

  async #act(): Promise<void> {
    const random = this.#random;
    const path = this.#path();
    const data = this.#data();
    const dice = random.next();
    if (dice < 0.03 || !this.#session) return this.#newSession();
    if (dice < 0.4) return this.#send('PUT', `${path}?parents=true`, path, data);
    if (dice < 0.5) return this.#send('POST', `${path}/s-?parents=true`, undefined, data);
    if (dice < 0.6) {
      const own = `${path}/e${random.below(3)}`;
      return this.#send('PUT', `${own}?mode=ephemeral&parents=true&session=${this.#session}`, own, data);
    }
    if (dice < 0.65) {
      const mode = random.chance(0.5) ? 'mode=container' : 'ttl=500ms';
      return this.#send('PUT', `${path}?parents=true&${mode}`, path, data);
    }
    if (dice < 0.75) return this.#send('DELETE', path, path);
    if (dice < 0.8 && path !== '/t') return this.#send('DELETE', `${path}?recursive=true`, path);
    return this.#multi();
  }

  async #newSession(): Promise<void> {
    const old = this.#session;
    // Half of the sessions expire, with all their nodes.
    if (old && this.#random.chance(0.5)) await this.#request(`/v1/sessions/${old}`, 'DELETE');
    this.#session = undefined;
    const response = await this.#request('/v1/sessions', 'POST', { ttl: 500 + this.#random.below(1000) });
    if (response?.status === 201) this.#session = response.body.session;
  }

  async #multi(): Promise<void> {
    const data = this.#data();
    const ops = Array.from({ length: 1 + this.#random.below(5) }, () => {
      const path = this.#path();
      const dice = this.#random.next();
      if (dice < 0.35) return { op: 'create', path, data };
      if (dice < 0.6) return { op: 'set', path, data };
      if (dice < 0.7) return { op: 'create', path: `${path}/s-`, data, sequential: true };
      if (dice < 0.85) return { op: 'delete', path };
      return {
        op: 'create',
        path: `${path}/e${this.#random.below(3)}`,
        data,
        mode: 'ephemeral',
        session: this.#session,
      };
    });
    const response = await this.#request('/v1/multi', 'POST', { ops });
    if (!response) return;
    this.#judge(response, data);
    if (response.status === 200)
      this.acknowledged.push({ zxid: response.body.zxid, path: response.body.results[0].path });
  }

  async #send(method: string, target: string, path: string | undefined, data?: string): Promise<void> {
    const response = await this.#request(`/v1/nodes${target}`, method, data);
    if (!response) return;
    this.#judge(response, data);
    if (response.status >= 300) return;
    const zxid = Number(response.headers.get('weir-zxid'));
    this.acknowledged.push({ zxid, path: path ?? response.body.path });
  }

  #judge({ status, body }: HttpResponse, data: string | undefined): void {
    if (status === 503 && data !== undefined && /othing was done/.test(body.detail)) this.refused.add(data);
    if (status === 500 || (status >= 400 && !errorCodes.includes(body.code))) {
      this.problems.push(`${status} ${JSON.stringify(body)}`);
    }
  }

  /** Undefined if there is no response. */
  async #request(target: string, method: string, body?: unknown): Promise<HttpResponse | undefined> {
    const url = this.#random.pick(this.#urls) + target;
    try {
      // Some requests wait for the response of a broker without its store (guarantee E3), others have a short timeout.
      const response = await http(url, method, body, {}, AbortSignal.timeout(this.#random.pick([300, 1000, 2500])));
      count(this.outcomes, response.status < 300 ? 'OK' : (response.body.code ?? `${response.status} without a code`));
      return response;
    } catch {
      count(this.outcomes, 'no response');
      return undefined;
    }
  }

  #path(): string {
    const depth = this.#random.below(4);
    return ['/t', ...Array.from({ length: depth }, () => this.#random.pick(names))].join('/');
  }

  /** Data that is unique for each request; sometimes larger than an event carries, and not ASCII. */
  #data(): string {
    this.#requests += 1;
    const start = `${this.#name}-${this.#requests};`;
    return this.#random.chance(0.01) ? start + 'ä€😀'.repeat(2500) : start;
  }

  /** Acknowledged changes that contradict the history of the store. */
  brokenPromises(history: readonly Transaction[]): string[] {
    const byZxid = new Map(history.map((transaction) => [transaction.zxid, transaction]));
    const broken = this.acknowledged
      .filter(({ zxid, path }) => !byZxid.get(zxid)?.events.some((event) => event.path === path))
      .map(({ zxid, path }) => `Acknowledged, and not in the history: ${zxid} ${path}`);
    for (const { zxid, events } of history) {
      for (const { path, data } of events) {
        if (data && this.refused.has(data.toString())) broken.push(`Refused, and made all the same: ${zxid} ${path}`);
      }
    }
    return broken;
  }
}

/** Renews a session through any broker; it must live as long as renewals arrive in time. */
export class SessionHolder {
  readonly problems: string[] = [];
  renewals = 0;
  /** How often the session expired. */
  ends = 0;
  readonly #urls: string[];
  readonly #random: Random;

  constructor(urls: string[], random: Random) {
    this.#urls = urls;
    this.#random = random;
  }

  async run(signal: AbortSignal): Promise<void> {
    const ttlMs = 2000;
    let session: string | undefined;
    /** When the last successful renewal was sent. */
    let renewedAt = 0;
    while (await goesOn(this.#random.between(100, 500), signal)) {
      const sentAt = performance.now();
      try {
        const url = `${this.#random.pick(this.#urls)}/v1/sessions${session ? `/${session}` : ''}`;
        const response = session
          ? await http(url, 'PUT', undefined, {}, AbortSignal.timeout(500))
          : await http(url, 'POST', { ttl: ttlMs }, {}, AbortSignal.timeout(500));
        if (response.status < 300) {
          session ??= response.body.session;
          renewedAt = sentAt;
          this.renewals += 1;
        } else if (response.body.code === 'SESSION_EXPIRED') {
          const livedMs = performance.now() - renewedAt;
          if (livedMs < ttlMs) this.problems.push(`A session of ${ttlMs} ms ended ${livedMs} ms after its renewal`);
          this.ends += 1;
          session = undefined;
        }
      } catch {
        // No response: try the next broker.
      }
    }
  }
}
