// A network between a client and a server that loses replies or connections, or passes no data, on request.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';

export interface FaultyNetwork {
  /** The server's URL through this network. */
  url: string;
  port: number;
  /** The next request that contains this text reaches the server, and its reply is lost with the connection. */
  loseReplyTo(text: string): void;
  /** How many replies it has lost so far. */
  readonly repliesLost: number;
  /** Breaks all open connections. */
  cut(): void;
  /** Breaks all connections, and sends new ones to another server. */
  redirect(toUrl: string): void;
  /** Passes no data from now on. */
  block(): void;
  /**
   * Keeps connections open but passes no data until `resume`, and then all of it.
   * @param said limits this to the open connections on which the client has sent this text, or if there are none, to the first on
   * which it does; what replaces them works
   */
  stall(said?: string): void;
  resume(): void;
  /** From now on delays each piece from the server by so much. */
  delay(ms: number): void;
}

/** How much of the data of a client is stored: its first commands show the purpose of a connection, and several of them may be whole scripts. */
const sentBytesKept = 1024 * 1024;

export async function startFaultyNetwork(t: Test, serverUrl: string): Promise<FaultyNetwork> {
  let { port: serverPort } = new URL(serverUrl);
  const sockets = new Set<Socket>();
  /** By connection, the two sockets: the first data from the client. */
  const sent = new Map<readonly Socket[], string>();
  let dropReplyTo: string | undefined;
  let repliesLost = 0;
  let isBlocked = false;
  let isStalled = false;
  let stalledBy: string | undefined;
  let delayMs = 0;

  const network = createServer((client) => {
    const upstream = connect(Number(serverPort), '127.0.0.1');
    let losesReply = false;
    let said = Promise.resolve();
    const both = [client, upstream];
    sent.set(both, '');
    client.once('close', () => sent.delete(both));
    const end = () => {
      for (const socket of [client, upstream]) {
        socket.destroy();
        sockets.delete(socket);
      }
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      if (isStalled) socket.pause();
      socket.on('close', end);
      socket.on('error', end);
    }
    client.on('data', (data) => {
      if (isBlocked) return;
      if (dropReplyTo !== undefined && data.includes(dropReplyTo)) {
        dropReplyTo = undefined;
        losesReply = true;
      }
      if (sent.get(both)!.length < sentBytesKept) sent.set(both, sent.get(both)! + data.toString('latin1'));
      if (stalledBy !== undefined && sent.get(both)!.includes(stalledBy)) {
        stalledBy = undefined;
        for (const socket of both) socket.pause();
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (isBlocked) return;
      if (losesReply) {
        repliesLost += 1;
        end();
      } else {
        said = Promise.all([said, delayMs > 0 && pause(delayMs)]).then(() => void client.write(data));
      }
    });
  });
  await new Promise<void>((resolve) => network.listen(0, '127.0.0.1', resolve));
  const { port } = network.address() as AddressInfo;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  t.teardown(() => {
    network.close();
    cut();
  });
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    loseReplyTo: (text) => {
      dropReplyTo = text;
    },
    get repliesLost() {
      return repliesLost;
    },
    cut,
    redirect: (toUrl) => {
      serverPort = new URL(toUrl).port;
      cut();
    },
    block: () => {
      isBlocked = true;
    },
    stall: (said) => {
      if (said !== undefined) {
        const saying = [...sent].filter(([, text]) => text.includes(said)).map(([both]) => both);
        for (const socket of saying.flat()) socket.pause();
        if (saying.length === 0) stalledBy = said;
        return;
      }
      isStalled = true;
      for (const socket of sockets) socket.pause();
    },
    delay: (ms) => {
      delayMs = ms;
    },
    resume: () => {
      isStalled = false;
      stalledBy = undefined;
      for (const socket of sockets) socket.resume();
    },
  };
}
