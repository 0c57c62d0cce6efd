// A load that continues during failures and counts failed requests and gaps. Each client sends one request after the other at a
// steady pace to the broker that served it last. If that does not respond or closes the connection, it changes to the next one.
import { Agent, request } from 'node:http';
import type { Scope } from '../../testbed/scope.ts';
import { both, shown } from './measure.ts';

/** The request that one client repeats. */
export interface Ask {
  /** The name of its client, to select its account. */
  name: string;
  method: string;
  path: string;
  body: unknown;
}

export interface Account {
  begun: number;
  failed: number;
  /** The longest time for which a client had no success, ms. */
  gapMs: number;
  slowestMs: number;
}

/** The accounts of several failures as a row of a table. */
export const accountHead = [
  'requests sent per failure',
  'of them failed',
  'longest time of a client without success, ms, p50 / worst',
  'slowest response, ms, p50 / worst',
];

export function accountCells(accounts: Account[]): string[] {
  const mean = (of: (account: Account) => number) =>
    accounts.reduce((sum, each) => sum + of(each), 0) / accounts.length;
  return [
    shown(mean(({ begun }) => begun)),
    shown(mean(({ failed }) => failed)),
    both(accounts.map(({ gapMs }) => gapMs)),
    both(accounts.map(({ slowestMs }) => slowestMs)),
  ];
}

/** How long a client waits for a response, ms: a little longer than any response may take (guarantee E3). */
const timeoutMs = 3000;
const everyMs = 20;

export class SteadyLoad {
  readonly #clients: SteadyClient[];

  /** Starts one client for each of `asks`, spread over the brokers; they stop with the scope. */
  static start(scope: Scope, urls: string[], asks: Ask[]): SteadyLoad {
    const clients = asks.map((ask, index) => new SteadyClient(ask, urls, index));
    scope.teardown(() => Promise.all(clients.map((client) => client.stop())));
    return new SteadyLoad(clients);
  }

  private constructor(clients: SteadyClient[]) {
    this.#clients = clients;
  }

  /** Spreads the clients over the brokers as at the start, and begins new accounts. */
  begin(): void {
    for (const client of this.#clients) client.begin();
  }

  /**
   * Waits until each client has had a success with a request that it sent after `since`.
   * @returns the time of the last of these successes, as performance.now()
   */
  async served(since: number, names = /./): Promise<number> {
    return Math.max(...(await Promise.all(this.#of(names).map((client) => client.served(since)))));
  }

  account(names = /./): Account {
    const accounts = this.#of(names).map(({ account }) => account);
    return {
      begun: accounts.reduce((sum, { begun }) => sum + begun, 0),
      failed: accounts.reduce((sum, { failed }) => sum + failed, 0),
      gapMs: Math.max(...accounts.map(({ gapMs }) => gapMs)),
      slowestMs: Math.max(...accounts.map(({ slowestMs }) => slowestMs)),
    };
  }

  #of(names: RegExp): SteadyClient[] {
    return this.#clients.filter(({ name }) => names.test(name));
  }
}

class SteadyClient {
  account: Account = { begun: 0, failed: 0, gapMs: 0, slowestMs: 0 };
  readonly name: string;
  readonly #ask: Ask;
  readonly #body: string;
  readonly #urls: string[];
  readonly #first: number;
  #at: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #servedAt = performance.now();
  readonly #waiting = new Set<(begunAt: number) => void>();
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(ask: Ask, urls: string[], first: number) {
    this.name = ask.name;
    this.#ask = ask;
    this.#body = JSON.stringify(ask.body);
    this.#urls = urls;
    this.#first = first;
    this.#at = first;
    this.#done = this.#run();
  }

  begin(): void {
    this.#at = this.#first;
    this.account = { begun: 0, failed: 0, gapMs: 0, slowestMs: 0 };
  }

  served(since: number): Promise<number> {
    return new Promise((resolve) => {
      const look = (begunAt: number) => {
        if (begunAt <= since) return;
        this.#waiting.delete(look);
        resolve(performance.now());
      };
      this.#waiting.add(look);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    this.#agent.destroy();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const { account } = this;
      const begunAt = performance.now();
      account.begun += 1;
      const status = await this.#send();
      const now = performance.now();
      account.slowestMs = Math.max(account.slowestMs, now - begunAt);
      if (status >= 200 && status < 300) {
        account.gapMs = Math.max(account.gapMs, now - this.#servedAt);
        this.#servedAt = now;
        for (const look of this.#waiting) look(begunAt);
      } else {
        account.failed += 1;
        if (status === 0) this.#at += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, begunAt + everyMs - performance.now())));
    }
  }

  /** @returns the status; 0 if there was no response */
  #send(): Promise<number> {
    const { method, path } = this.#ask;
    return new Promise((resolve) => {
      const sent = request(
        this.#urls[this.#at % this.#urls.length] + path,
        { method, agent: this.#agent, headers: { 'content-type': 'application/json' } },
        (response) => {
          response.resume().once('close', () => {
            clearTimeout(timer);
            resolve(response.complete ? response.statusCode! : 0);
          });
        },
      );
      const timer = setTimeout(() => sent.destroy(), timeoutMs);
      sent.once('error', () => {
        clearTimeout(timer);
        resolve(0);
      });
      sent.end(this.#body);
    });
  }
}
