// A network between a client and a server that loses replies and connections, or stands still, when it is told to.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

export interface FaultyNetwork {
  /** The server's URL through this network. */
  url: string;
  port: number;
  /** The next request that contains this text reaches the server, and its reply is lost with the connection. */
  loseReplyTo(text: string): void;
  /** How many replies were lost so far. */
  readonly repliesLost: number;
  /** Breaks all connections there are. */
  cut(): void;
  /** Breaks all connections, and leads new ones to another server. */
  redirect(toUrl: string): void;
  /** From now on nothing gets through any more. */
  block(): void;
  /** Connections stay, and nothing gets through until `resume`; then all of it does. */
  stall(): void;
  resume(): void;
}

export async function startFaultyNetwork(t: Test, serverUrl: string): Promise<FaultyNetwork> {
  let { port: serverPort } = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let unanswered: string | undefined;
  let repliesLost = 0;
  let isBlocked = false;
  let isStalled = false;

  const network = createServer((client) => {
    const upstream = connect(Number(serverPort), '127.0.0.1');
    let losesReply = false;
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
      if (unanswered !== undefined && data.includes(unanswered)) {
        unanswered = undefined;
        losesReply = true;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (isBlocked) return;
      if (losesReply) {
        repliesLost += 1;
        end();
      } else {
        client.write(data);
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
      unanswered = text;
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
    stall: () => {
      isStalled = true;
      for (const socket of sockets) socket.pause();
    },
    resume: () => {
      isStalled = false;
      for (const socket of sockets) socket.resume();
    },
  };
}
