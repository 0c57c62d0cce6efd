// A connection that speaks HTTP by hand: for requests that no client library makes, and for what goes over the wire as it is.
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';
import { eventually } from './server.ts';

export interface RawConnection {
  socket: Socket;
  send(...lines: string[]): void;
  /** All that came so far, a character a byte. */
  told(): string;
  /** Waits for something in what is told. */
  hears(what: RegExp): Promise<string>;
  /** All that was told, when the other side has closed it. */
  end(): Promise<string>;
}

export interface RawResponse {
  status: number;
  head: string;
  /** As it is on the wire, chunked perhaps. */
  body: string;
}

/** Opens a connection that is gone with the test. @param allowHalfOpen whether it goes on when the other side sends no more */
export function openRaw(t: Test, url: string, { allowHalfOpen = false } = {}): RawConnection {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen });
  t.teardown(() => socket.destroy());
  let told = '';
  let ended = false;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    told += chunk;
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    ended = true;
  });
  return {
    socket,
    send: (...lines) => void socket.write(lines.join('\r\n'), 'latin1'),
    told: () => told,
    hears: async (what) => {
      await eventually(() => what.test(told), `${what} is told`);
      return told;
    },
    end: async () => {
      await eventually(() => ended, 'the connection is closed');
      return told;
    },
  };
}

/** The responses in what a connection was told: each must be of the length that it announces. */
export function responsesIn(told: string): RawResponse[] {
  const found: RawResponse[] = [];
  for (let rest = told; rest !== ''; ) {
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

/** One request as it is given, with Host and an end of the connection behind it; the response. */
export async function rawRequest(t: Test, url: string, head: string[], body = ''): Promise<RawResponse> {
  const connection = openRaw(t, url);
  const host = head.some((line) => /^host:/i.test(line)) ? [] : [`Host: ${new URL(url).host}`];
  connection.send(...head, ...host, 'Connection: close', '', body);
  return responsesIn(await connection.end())[0]!;
}
