// A client of a cluster under torture: it asks any broker, is not patient for ever, and keeps count of what it was told.
import { errorCodes } from '../../schemas/errors.ts';
import type { Random } from '../helpers/random.ts';
import { type Answer, http } from '../helpers/server.ts';
import { count } from './torture-log.ts';

export abstract class TortureClient {
  /** Answers by code, to see that it does what it should. */
  readonly outcomes = new Map<string, number>();
  /** What should not have been, one line each. */
  readonly problems: string[] = [];
  readonly random: Random;
  readonly #urls: readonly string[];

  constructor(urls: readonly string[], random: Random) {
    this.#urls = urls;
    this.random = random;
  }

  abstract run(signal: AbortSignal): Promise<void>;

  /** One request through any broker; undefined if there is no answer. `ms`: how long it waits for one. */
  protected async ask(
    target: string,
    method = 'GET',
    body?: unknown,
    headers: Record<string, string> = {},
    ms = this.random.pick([300, 1000, 2500]),
  ): Promise<Answer | undefined> {
    const url = this.random.pick(this.#urls) + target;
    let answer: Answer;
    try {
      answer = await http(url, method, body, headers, AbortSignal.timeout(ms));
    } catch {
      count(this.outcomes, 'no answer');
      return undefined;
    }
    const { status, body: problem } = answer;
    count(this.outcomes, status < 400 ? 'OK' : (problem.code ?? `${status} without a code`));
    if (status === 500 || (status >= 400 && !errorCodes.includes(problem.code))) {
      this.problems.push(`${method} ${target}: ${status} ${JSON.stringify(problem)}`);
    }
    return answer;
  }
}
