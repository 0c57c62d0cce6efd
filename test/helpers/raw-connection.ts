// A raw connection for HTTP: for requests that no client library sends, and for checks of the exact bytes.
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';
import { eventually } from './server.ts';

export interface RawConnection {
  socket: Socket;
  send(...lines: string[]): void;
  /** All data received so far, one character per byte. */
  received(): string;
  /** Waits until the received data matches. */
  receives(what: RegExp): Promise<string>;
  /** All received data, once the server has closed the connection. */
  end(): Promise<string>;
}

export interface RawResponse {
  status: number;
  head: string;
  /** The raw body, which may be chunked. */
  body: string;
}

/** Opens a connection that is closed when the test ends. @param allowHalfOpen whether it stays open when the server ends its side */
export function openRaw(t: Test, url: string, { allowHalfOpen = false } = {}): RawConnection {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen });
  t.teardown(() => socket.destroy());
  let received = '';
  let ended = false;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    received += chunk;
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    ended = true;
  });
  return {
    socket,
    send: (...lines) => void socket.write(lines.join('\r\n'), 'latin1'),
    received: () => received,
    receives: async (what) => {
      await eventually(() => what.test(received), `${what} is received`);
      return received;
    },
    end: async () => {
      await eventually(() => ended, 'the connection is closed');
      return received;
    },
  };
}

/** Parses the responses in received data: each must have the length that it announces. */
export function responsesIn(received: string): RawResponse[] {
  const found: RawResponse[] = [];
  for (let rest = received; rest !== ''; ) {
    const match = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n([\s\S]*?\r\n)?\r\n/.exec(rest);
    if (!match) throw new Error(`This is no response: ${JSON.stringify(rest.slice(0, 200))}`);
    rest = rest.slice(match[0].length);
    const head = match[2] ?? '';
    const length = /^content-length: (\d+)/im.exec(head)?.[1];
    let body = '';
    if (length !== undefined) body = rest.slice(0, Number(length));
    else if (/^transfer-encoding: chunked/im.test(head)) body = /^[\s\S]*?(?:^|\r\n)0\r\n\r\n/.exec(rest)?.[0] ?? rest;
    found.push({ status: Number(match[1]), head, body });
    rest = rest.slice(body.length);
  }
  return found;
}

/** Sends one request unchanged, with Host and Connection: close added. @returns the response */
export async function rawRequest(t: Test, url: string, head: string[], body = ''): Promise<RawResponse> {
  const connection = openRaw(t, url);
  const host = head.some((line) => /^host:/i.test(line)) ? [] : [`Host: ${new URL(url).host}`];
  connection.send(...head, ...host, 'Connection: close', '', body);
  return responsesIn(await connection.end())[0]!;
}
