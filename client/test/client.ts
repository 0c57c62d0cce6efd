// Clients for tests: closed with their test, and with short pauses between attempts.
import type { Test } from 'tap';
import { type ClientEvent, Weir, type WeirOptions } from '../src/index.ts';

export interface TestClient extends Weir {
  /** What it has told of connections, retries and sessions. */
  heard: ClientEvent[];
}

export function startClient(t: Test, url: string | string[], options: Partial<WeirOptions> = {}): TestClient {
  const heard: ClientEvent[] = [];
  const weir = new Weir({
    url,
    retry: { minDelay: 10, maxDelay: 200 },
    onEvent: (event) => heard.push(event),
    ...options,
  });
  t.teardown(() => weir.close());
  return Object.assign(weir, { heard });
}

/** The first `count` values of an iterable. */
export async function take<T>(iterable: AsyncIterable<T>, count: number): Promise<T[]> {
  const values: T[] = [];
  for await (const value of iterable) {
    values.push(value);
    if (values.length === count) break;
  }
  return values;
}

export function values(records: { value?: unknown }[]): unknown[] {
  return records.map(({ value }) => value);
}
