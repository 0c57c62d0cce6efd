// A client of a fault test: it sends requests to any broker, with a timeout, and counts the responses.
import { errorCodes } from '../../schemas/errors.ts';
import type { Random } from '../helpers/random.ts';
import { type HttpResponse, http } from '../helpers/server.ts';
import { count } from './fault-log.ts';

/** The codes with which a broker refuses what needs the store while it cannot use it. LOADING: it was started meanwhile. */
export const unavailableCodes: readonly string[] = ['STORE_UNAVAILABLE', 'LOADING'];

export abstract class TortureClient {
  /** Counts of responses by code, which show that the client makes progress. */
  readonly outcomes = new Map<string, number>();
  /** Violations, one line each. */
  readonly problems: string[] = [];
  readonly random: Random;
  readonly #urls: readonly string[];
  /** Brokers without a response to the last request: the client tries the others first. */
  #silent: string | undefined;

  constructor(urls: readonly string[], random: Random) {
    this.#urls = urls;
    this.random = random;
  }

  abstract run(signal: AbortSignal): Promise<void>;

  /** One request through any broker; undefined if there is no response within `ms`. */
  protected async ask(
    target: string,
    method = 'GET',
    body?: unknown,
    headers: Record<string, string> = {},
    ms = this.random.pick([300, 1000, 2500]),
  ): Promise<HttpResponse | undefined> {
    const broker = this.random.pick(this.#urls.filter((url) => url !== this.#silent));
    let response: HttpResponse;
    try {
      response = await http(broker + target, method, body, headers, AbortSignal.timeout(ms));
    } catch {
      count(this.outcomes, 'no response');
      this.#silent = broker;
      return undefined;
    }
    const { status, body: problem } = response;
    count(this.outcomes, status < 400 ? 'OK' : (problem.code ?? `${status} without a code`));
    if (status === 500 || (status >= 400 && !errorCodes.includes(problem.code))) {
      this.problems.push(`${method} ${target}: ${status} ${JSON.stringify(problem)}`);
    }
    return response;
  }
}
