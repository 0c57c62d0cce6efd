/**
 * Sends a single command to a Redis on a unix socket, over a new connection. It serves to start and monitor the private Redis before
 * clients exist. It reads one RESP2 reply, without pooling, pipelining or reconnecting. All other commands use ManagedConnection.
 */
import { connect } from 'node:net';

export type RedisReply = string | number | null | RedisReply[];

/** Long: who asks has nothing else to go on with, and a machine may be so busy that Redis hardly runs. */
const timeoutMsDefault = 10_000;

/** An error reply of Redis; `message` is its text, such as `LOADING Redis is loading …`. */
export class RedisReplyError extends Error {
  override readonly name = 'RedisReplyError';
}

/**
 * Sends `args` as one command to the Redis at `socketPath` and returns the reply.
 * @throws RedisReplyError for an error reply; Error if nothing listens, if no complete reply arrives within `timeoutMs`, or if the
 *   reply is not RESP
 */
export function redisCommand(socketPath: string, args: string[], timeoutMs = timeoutMsDefault): Promise<RedisReply> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const settle = (action: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      action();
    };
    const timer = setTimeout(
      () => settle(() => reject(new Error(`No reply to ${args[0]} from ${socketPath} within ${timeoutMs} ms`))),
      timeoutMs,
    );
    let received = Buffer.alloc(0);
    socket.on('error', (error) => settle(() => reject(error)));
    socket.on('close', () =>
      settle(() => reject(new Error(`${socketPath} closed the connection before the reply to ${args[0]}`))),
    );
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const parsed = parseReply(received, 0);
        if (parsed) settle(() => resolve(parsed.reply));
      } catch (error) {
        settle(() => reject(error));
      }
    });
    socket.write(`*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`);
  });
}

/** Parses the reply that begins at `start`; `end` is the index after it. Returns undefined while the reply is incomplete. */
function parseReply(bytes: Buffer, start: number): { reply: RedisReply; end: number } | undefined {
  const lineEnd = bytes.indexOf('\r\n', start);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString('utf8', start + 1, lineEnd);
  const body = lineEnd + 2;
  switch (bytes.toString('latin1', start, start + 1)) {
    case '+':
      return { reply: line, end: body };
    case '-':
      throw new RedisReplyError(line);
    case ':':
      return { reply: Number(line), end: body };
    case '$': {
      const length = Number(line);
      if (length < 0) return { reply: null, end: body };
      const end = body + length + 2;
      return bytes.length < end ? undefined : { reply: bytes.toString('utf8', body, body + length), end };
    }
    case '*': {
      const items: RedisReply[] = [];
      let end = body;
      for (let left = Number(line); left > 0; left--) {
        const item = parseReply(bytes, end);
        if (!item) return undefined;
        items.push(item.reply);
        end = item.end;
      }
      return { reply: items, end };
    }
    default:
      throw new Error(`Not a Redis reply: ${JSON.stringify(bytes.toString('utf8', start, start + 40))}`);
  }
}
