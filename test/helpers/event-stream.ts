// Reads server-sent events without a library, for tests of ids and of the end of a stream.
import type { Test } from 'tap';
import { eventually } from './server.ts';

export interface StreamMessage {
  id?: string;
  event?: string;
  data: any;
}

export interface TestStream {
  response: Response;
  /** All messages so far, in order. */
  messages: StreamMessage[];
  /** The first message, past or to come, for which the condition holds. */
  message(condition: (message: StreamMessage) => boolean, what: string): Promise<StreamMessage>;
  /** Settles when the server has ended the stream. */
  end(): Promise<unknown>;
  /** Breaks the connection. */
  cut(): void;
}

/** Opens a stream, which is closed when the test ends. */
export async function openEventStream(t: Test, url: string, headers: Record<string, string> = {}): Promise<TestStream> {
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const response = await fetch(url, { headers, signal: abort.signal });
  const messages: StreamMessage[] = [];
  let ended = false;
  const read = async () => {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body!) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
      rest = blocks.pop()!;
      // Data after the break is ignored, as a client that has disconnected would not get it.
      if (abort.signal.aborted) return;
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
        messages.push({ ...fields, data: JSON.parse(fields.data) });
      }
    }
  };
  void read()
    .catch(() => undefined)
    .finally(() => {
      ended = true;
    });
  return {
    response,
    messages,
    message: (condition, what) => eventually(() => messages.find(condition), what),
    end: () => eventually(() => ended, 'the stream ends'),
    cut: () => abort.abort(),
  };
}
