// A Redis that loads for as long as a test wants it to.
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryFolder } from '../../testbed/scope.ts';

/** A Redis that loads for as long as it is told to: to the server it is a real one behind a stand-in. */
export async function loadingRedis(t: Test, percent: () => number): Promise<string> {
  const socketPath = join(temporaryFolder(t), 's');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (data) => {
      const info = `redis_version:7.0.15\r\nloading:1\r\nloading_loaded_perc:${percent()}.00\r\nloading_eta_seconds:7\r\n`;
      for (const [, name] of String(data).matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g)) {
        if (/info/i.test(name!)) socket.write(`$${info.length}\r\n${info}\r\n`);
        else socket.write('-LOADING Redis is loading the dataset in memory\r\n');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return socketPath;
}
