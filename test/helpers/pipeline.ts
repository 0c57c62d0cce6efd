// A client of /v1/socket for tests: keeps every response and event that it receives, in order.
import type { Test } from 'tap';
import WebSocket from 'ws';
import { eventually } from './server.ts';

export interface TestPipeline {
  ws: WebSocket;
  /** All responses and other frames so far, in order; lists of responses one by one. */
  received: any[];
  /** How many frames they came in. */
  readonly frameCount: number;
  /** Sends a frame: a string unchanged, anything else as JSON. */
  send(frame: unknown): void;
  /** Sends a request with an id of its own, and waits for its response. */
  ask(request: Record<string, unknown>): Promise<any>;
  /** Sends requests with ids of their own as one frame, and waits for their responses. */
  askAll(requests: readonly Record<string, unknown>[]): Promise<any[]>;
  /** The response to a request, past or to come. */
  response(id: number | string): Promise<any>;
  /** The first frame with this type, past or to come. */
  event(type: string): Promise<any>;
  /** Settles with the close code and reason. */
  closed: Promise<{ code: number; reason: string }>;
}

/** Opens a pipelined socket, which is closed when the test ends. */
export async function openPipeline(t: Test, url: string, options: WebSocket.ClientOptions = {}): Promise<TestPipeline> {
  const ws = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/socket`, 'weir.v1', {
    handshakeTimeout: 60_000,
    ...options,
  });
  const received: any[] = [];
  const byId = new Map<unknown, any>();
  let [frameCount, lastId] = [0, 1_000_000];
  ws.on('message', (data: Buffer) => {
    frameCount += 1;
    const frame = JSON.parse(data.toString());
    for (const each of Array.isArray(frame) ? frame : [frame]) {
      received.push(each);
      if (each.type === undefined) byId.set(each.id, each);
    }
  });
  ws.on('error', () => undefined);
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  );
  t.teardown(() => ws.terminate());
  await new Promise<void>((resolve, reject) => {
    ws.once('open', resolve);
    ws.once('error', reject);
  });
  const send = (frame: unknown) => ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  const response = (id: unknown) => eventually(() => byId.get(id), `the response to ${String(id)}`);
  const askAll = async (requests: readonly Record<string, unknown>[]) => {
    const withIds = requests.map((request) => {
      lastId += 1;
      return { id: lastId, ...request };
    });
    send(withIds);
    return Promise.all(withIds.map(({ id }) => response(id)));
  };
  return {
    ws,
    received,
    get frameCount() {
      return frameCount;
    },
    send,
    askAll,
    ask: async (request) => (await askAll([request]))[0],
    response,
    event: (type) => eventually(() => received.find((each) => each.type === type), `a frame of type ${type}`),
    closed,
  };
}
