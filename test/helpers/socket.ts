// A WebSocket client for tests: stores every frame that it receives, and waits for given frames.
import type { Test } from 'tap';
import WebSocket from 'ws';
import { eventually } from './server.ts';

export interface TestSocket {
  /** All frames so far, parsed, in order. */
  frames: any[];
  ws: WebSocket;
  /** Sends a frame: a string unchanged, anything else as JSON. */
  send(frame: unknown): void;
  /** The first frame, past or to come, that has these fields. */
  frame(fields: Record<string, unknown>): Promise<any>;
  /** Settles with the close code. */
  closed: Promise<number>;
}

/** Opens a socket at `url` (http:// or ws://), which is closed when the test ends. */
export async function openSocket(t: Test, url: string, headers: Record<string, string> = {}): Promise<TestSocket> {
  const ws = new WebSocket(url.replace(/^http/, 'ws'), { headers, handshakeTimeout: 60_000 });
  const frames: any[] = [];
  ws.on('message', (data: Buffer) => frames.push(JSON.parse(data.toString())));
  const closed = new Promise<number>((resolve) => ws.on('close', resolve));
  t.teardown(() => ws.terminate());
  await new Promise<void>((resolve, reject) => {
    ws.on('open', resolve);
    ws.on('error', reject);
  });
  const has = (frame: any, fields: Record<string, unknown>) =>
    Object.entries(fields).every(([name, value]) => frame[name] === value);
  return {
    frames,
    ws,
    closed,
    send: (frame) => ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    frame: (fields) => eventually(() => frames.find((frame) => has(frame, fields)), JSON.stringify(fields)),
  };
}
