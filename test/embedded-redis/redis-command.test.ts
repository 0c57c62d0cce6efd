import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RedisReplyError, redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import { startTestRedis } from '../helpers/redis.ts';

/** Listens like a Redis, and replies to any command with `pieces`, one packet each. */
async function startReplying(t: Test, pieces: string[], thenClose = false): Promise<string> {
  const path = join(temporaryFolder(t), 's');
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    const writePieces = async () => {
      for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve));
      if (thenClose) socket.end();
    };
    // Never rejects: a failed write also calls back.
    socket.once('data', () => void writePieces());
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => server.close());
  return path;
}

t.test('replies of every type are parsed', async (t) => {
  const { socketPath } = await startTestRedis(t);
  t.equal(await redisCommand(socketPath, ['PING']), 'PONG');
  t.equal(await redisCommand(socketPath, ['SET', 'key', 'größer\r\nals']), 'OK');
  t.equal(await redisCommand(socketPath, ['GET', 'key']), 'größer\r\nals');
  t.equal(await redisCommand(socketPath, ['GET', 'none']), null);
  t.equal(await redisCommand(socketPath, ['STRLEN', 'key']), 13);
  t.same(await redisCommand(socketPath, ['MGET', 'key', 'none']), ['größer\r\nals', null]);
  t.same(await redisCommand(socketPath, ['KEYS', 'nothing*']), []);
});

t.test('a reply that arrives in pieces is assembled', async (t) => {
  const path = await startReplying(t, ['*2\r', '\n$5\r\nhe', 'llo', '\r\n:4', '2\r\n']);
  t.same(await redisCommand(path, ['ANY']), ['hello', 42]);
});

t.test('an error reply rejects with the text of Redis', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const error = await redisCommand(socketPath, ['NOSUCHCOMMAND']).catch((error) => error);
  t.ok(error instanceof RedisReplyError);
  t.match(error.message, /^ERR unknown command/);
});

t.test('a missing reply, an early close, no listener and an invalid reply each reject', async (t) => {
  await t.rejects(redisCommand(await startReplying(t, ['$5\r\nhel']), ['ANY'], 50), { message: /No reply to ANY/ });
  await t.rejects(redisCommand(await startReplying(t, [':4'], true), ['ANY']), {
    message: /closed the connection before the reply/,
  });
  await t.rejects(redisCommand(join(temporaryFolder(t), 'none'), ['ANY']), { code: 'ENOENT' });
  await t.rejects(redisCommand(await startReplying(t, ['HTTP/1.1 400\r\n']), ['ANY']), {
    message: /Not a Redis reply/,
  });
});
