// A network that cuts connections at random, delays what passes, and sends what clients have said a second time, later, over another
// connection: duplicates that come out of order, as proxies and resumed transfers make them.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** What a client says on a connection is kept up to here, to be said again. */
const saidBytesMax = 64 * 1024;
/** How long a duplicate may take to have its effect. */
const duplicateMs = 200;

export interface HostileNetwork {
  url: string;
  cuts: number;
  duplicates: number;
  /** From now on it only passes data on. */
  calm(): void;
}

/** @param random numbers from 0 to 1 */
export async function startHostileNetwork(t: Test, serverUrl: string, random: () => number): Promise<HostileNetwork> {
  const port = Number(new URL(serverUrl).port);
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  const later = (ms: number, work: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
  };
  let isCalm = false;
  const network = {
    url: '',
    cuts: 0,
    duplicates: 0,
    calm: () => {
      isCalm = true;
    },
  };
  const repeat = (said: Buffer[]) => {
    network.duplicates += 1;
    const again = connect(port, '127.0.0.1', () => again.write(Buffer.concat(said)));
    again.on('error', () => {}).resume();
    sockets.add(again);
    later(duplicateMs, () => again.destroy());
  };
  const proxy = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    const said: Buffer[] = [];
    let bytes = 0;
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket
        .setNoDelay()
        .on('error', end)
        .on('close', () => {
          sockets.delete(socket);
          end();
        });
    }
    let delivered = Promise.resolve();
    const pass = (to: Socket) => (data: Buffer) => {
      const delayMs = isCalm ? 0 : random() * 5;
      delivered = delivered
        .then(() => new Promise<void>((resolve) => later(delayMs, resolve)))
        .then(() => void to.write(data));
      if (isCalm || random() > 0.02) return;
      network.cuts += 1;
      end();
      if (bytes <= saidBytesMax) later(random() * 50, () => repeat(said));
    };
    client.on('data', (data) => {
      bytes += data.length;
      if (bytes <= saidBytesMax) said.push(data);
    });
    client.on('data', pass(upstream));
    upstream.on('data', pass(client));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  network.url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  t.teardown(() => {
    proxy.close();
    for (const timer of timers) clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
  });
  return network;
}
