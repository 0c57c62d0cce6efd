// Clients of the tree that send random requests, one at a time, and record requests and responses.
import type { Random } from '../helpers/random.ts';
import { type HttpResponse, http } from '../helpers/server.ts';
import type { Operation, Outcome, Seen, SequentialCreate, Step } from './linearizability.ts';

/** Registers below the root of a round. Some multis change two registers of one folder together. */
const registers = ['/a/x', '/a/y', '/b/x', '/c/x'];

/** Sends reads, puts, creates, deletes, compare-and-sets, and multis over two registers. */
export class RegisterClient {
  readonly history: Operation[] = [];
  /** How many changes have an unknown result. */
  unknown = 0;
  readonly #id: number;
  readonly #urls: string[];
  readonly #root: string;
  readonly #random: Random;
  /** The last version that the client saw, by path. */
  readonly #versions = new Map<string, number>();

  constructor(id: number, urls: string[], root: string, random: Random) {
    this.#id = id;
    this.#urls = urls;
    this.#root = root;
    this.#random = random;
  }

  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i += 1) await this.#act(this.#choose(i));
  }

  #choose(i: number): Step {
    const random = this.#random;
    const path = this.#root + random.pick(registers);
    // No two writes have the same data, so that the data identifies the write.
    const data = `${this.#id}-${i}`;
    const known = (at: string) => this.#versions.get(at) ?? 0;
    const dice = random.next();
    if (dice < 0.4) return { op: 'get', path };
    if (dice < 0.55) return { op: 'put', path, data };
    if (dice < 0.7) return { op: 'set', path, data, version: random.chance(0.8) ? known(path) : -1 };
    if (dice < 0.77) return { op: 'delete', path, version: random.chance(0.5) ? known(path) : -1 };
    if (dice < 0.82) return { op: 'create', path, data };
    const [first, second] = random.chance(0.5) ? ['/a/x', '/a/y'] : ['/a/y', '/a/x'];
    const step = (at: string, n: number) => {
      const part = random.next();
      if (part < 0.3) return { op: 'create' as const, path: at, data: `${data}-${n}` };
      if (part < 0.4) return { op: 'delete' as const, path: at, version: -1 };
      if (part < 0.5) return { op: 'check' as const, path: at, version: known(at) };
      return { op: 'set' as const, path: at, data: `${data}-${n}`, version: random.chance(0.3) ? known(at) : -1 };
    };
    // The last part always changes something, so that every multi that succeeds has a zxid of its own.
    const last = { op: 'set' as const, path: this.#root + second, data: `${data}-2`, version: -1 };
    const parts = [step(this.#root + first, 0), step(this.#root + second, 1), last];
    return { op: 'multi', steps: random.chance(0.5) ? parts : parts.slice(0, 1).concat(last) };
  }

  async #act(step: Step): Promise<void> {
    const start = performance.now();
    const response = await send(this.#random.pick(this.#urls), step);
    const end = performance.now();
    const { status, headers, body } = response;
    if (status === 503) {
      // A failed read, or a change that was certainly not made, is left out. If the change was made all the same, no
      // order explains the reads of others.
      if (step.op === 'get' || !/unknown/.test(body.detail)) return;
      this.unknown += 1;
      this.history.push({ client: this.#id, start, end: Number.POSITIVE_INFINITY, step, outcome: 'unknown' });
      return;
    }
    const header = headers.get('weir-zxid');
    this.history.push({
      client: this.#id,
      start,
      end,
      step,
      outcome: this.#outcome(step, response),
      zxid: header === null ? undefined : Number(header),
      mzxid: status === 200 ? body.stat?.mzxid : undefined,
    });
  }

  #outcome(step: Step, { status, body }: HttpResponse): Outcome {
    if (status >= 500) throw new Error(`${JSON.stringify(step)}: ${JSON.stringify(body)}`);
    if (status >= 400) {
      return { code: 'FAILED', error: body.code, ...(body.failed !== undefined && { failed: body.failed }) };
    }
    const seen: Seen[] = [];
    if (step.op === 'multi') {
      for (const [i, part] of step.steps.entries()) {
        seen.push('data' in part ? { version: body.results[i].stat.version } : {});
      }
    } else if (step.op === 'get') {
      seen.push({ version: body.stat.version, data: body.data });
    } else {
      seen.push('data' in step ? { version: body.stat.version } : {});
    }
    const paths = step.op === 'multi' ? step.steps.map(({ path }) => path) : [step.path];
    for (const [i, { version }] of seen.entries()) if (version !== undefined) this.#versions.set(paths[i]!, version);
    return { code: 'OK', seen };
  }
}

function send(url: string, step: Step): Promise<HttpResponse> {
  if (step.op === 'multi') return http(`${url}/v1/multi`, 'POST', { ops: step.steps });
  const at = `${url}/v1/nodes${step.path}`;
  switch (step.op) {
    case 'get':
      return http(`${at}?view=node`);
    case 'put':
      return http(at, 'PUT', step.data);
    case 'create':
      return http(at, 'PUT', step.data, { 'if-none-match': '*' });
    case 'set':
      return http(`${at}?version=${step.version}`, 'PUT', step.data);
    case 'delete':
      return http(`${at}?version=${step.version}`, 'DELETE');
    case 'check':
      throw new Error('A check stands only in a multi');
  }
}

/**
 * Creates sequential nodes below /q and /qq of a round, alone and several in one multi. Each request has an Idempotency-Key
 * and is repeated, through any broker, until it gets a response.
 */
export class SequenceClient {
  readonly creates: SequentialCreate[] = [];
  /** The same creates, one entry for each transaction. */
  readonly operations: Operation[] = [];
  readonly #urls: string[];
  readonly #root: string;
  readonly #random: Random;

  constructor(urls: string[], root: string, random: Random) {
    this.#urls = urls;
    this.#root = root;
    this.#random = random;
  }

  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i += 1) {
      const start = performance.now();
      const isMulti = this.#random.chance(0.3);
      const parents = isMulti ? ['/q', '/q', '/qq'] : [this.#random.pick(['/q', '/qq'])];
      const prefixes = parents.map((parent) => `${this.#root}${parent}/n-`);
      const headers = { 'idempotency-key': `${this.#root}-${i}-${this.#random.next()}` };
      const request = (url: string) =>
        isMulti
          ? http(
              `${url}/v1/multi`,
              'POST',
              { ops: prefixes.map((path) => ({ op: 'create', path, sequential: true })) },
              headers,
            )
          : http(`${url}/v1/nodes${prefixes[0]}`, 'POST', '', headers);
      let response = await request(this.#random.pick(this.#urls));
      while (response.status === 503) response = await request(this.#random.pick(this.#urls));
      const end = performance.now();
      const { status, headers: received, body } = response;
      if (status !== 200 && status !== 201) throw new Error(`A sequential create: ${JSON.stringify(body)}`);
      const zxid = Number(received.get('weir-zxid'));
      const paths: string[] = isMulti ? body.results.map((result: { path: string }) => result.path) : [body.path];
      for (const path of paths) {
        const parent = path.slice(0, path.lastIndexOf('/'));
        this.creates.push({ start, end, parent, number: Number(path.slice(-10)), zxid });
      }
      this.operations.push({
        client: -1,
        start,
        end,
        step: { op: 'multi', steps: [] },
        outcome: { code: 'OK', seen: [] },
        zxid,
      });
    }
  }
}
