// Opens a WebSocket with what the platform has: the global class of browsers and Node.js 22, or the package ws on Node.js 20 and for
// certificates of one's own.
import { misconfigured } from './errors.ts';
import type { Settings, WebSocketLike } from './options.ts';

interface SocketHandlers {
  opened(): void;
  received(frame: string): void;
  /** Once, also if it was never opened. */
  closed(code: number, reason: string): void;
}

export interface OpenSocket {
  send(text: string): void;
  /** Closes it; `closed` is not called any more. */
  close(code?: number): void;
}

/** @throws WeirError MISCONFIGURED if there is nothing that could open one */
async function openerOf({ webSocket, tls }: Settings): Promise<NonNullable<Settings['webSocket']>> {
  if (webSocket) return webSocket;
  if (webSocket === null) throw misconfigured('The option webSocket is null.');
  const { WebSocket: Socket } = globalThis as { WebSocket?: new (url: string, protocols: string[]) => WebSocketLike };
  if (Socket && !tls) return (url, protocols) => new Socket(url, protocols);
  const opener = await (await import('./package-socket.ts')).packageSockets(tls);
  if (!opener) throw misconfigured('It needs the package ws.');
  return opener;
}

/** Opens a socket at `path` of a broker. @throws WeirError MISCONFIGURED; what the token function throws */
export async function openSocket(
  settings: Settings,
  url: string,
  path: string,
  handlers: SocketHandlers,
  protocol?: string,
): Promise<OpenSocket> {
  const open = await openerOf(settings);
  const token = await settings.token();
  const protocols = [
    ...(protocol === undefined ? [] : [protocol]),
    ...(token === undefined ? [] : [`weir.bearer.${token}`]),
  ];
  // A server names one of the protocols that it was offered, and never that with the token.
  if (token !== undefined && protocol === undefined) protocols.unshift('weir.v1');
  const socket = await open(`${url.replace(/^http/, 'ws')}${path}`, protocols);
  let isEnded = false;
  const end = (code: number, reason: string) => {
    if (isEnded) return;
    isEnded = true;
    handlers.closed(code, reason);
  };
  socket.onopen = () => !isEnded && handlers.opened();
  socket.onmessage = (event: { data: unknown }) => {
    if (!isEnded) handlers.received(String(event.data));
  };
  // It says nothing useful, and `close` follows.
  socket.onerror = () => {};
  socket.onclose = (event: { code: number; reason: string }) => end(event.code, event.reason);
  return {
    send: (text) => {
      if (!isEnded) socket.send(text);
    },
    close: (code = 1000) => {
      isEnded = true;
      socket.close(code);
    },
  };
}
