// The reference for HTTP and sockets: Fastify with nothing behind it. One route returns a constant, one returns as many bytes as
// requested, one reads a body and discards it, one sends a body to every open socket.
import fastifyWebsocket, { type WebSocket } from '@fastify/websocket';
import Fastify from 'fastify';
import { nodeData } from './workload.ts';

const app = Fastify({ keepAliveTimeout: 75_000, bodyLimit: 16 * 1024 * 1024 });
await app.register(fastifyWebsocket);
app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));

app.get('/constant', async () => nodeData);

const someBytes = Buffer.alloc(4 * 1024 * 1024, 'x');
app.get<{ Params: { count: string } }>('/bytes/:count', async (request, reply) =>
  reply.type('application/json').send(someBytes.subarray(0, Number(request.params.count))),
);

await app.register(async (bodies) => {
  bodies.removeAllContentTypeParsers();
  bodies.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  bodies.post('/discard', async () => ({ ok: true }));
});

const sockets = new Set<WebSocket>();
app.get('/sockets', { websocket: true }, (socket) => {
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
});
app.post('/sockets', async (request, reply) => {
  const frame = request.body as string;
  for (const socket of sockets) socket.send(frame);
  return reply.code(204).send();
});

const url = await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`${JSON.stringify({ url })}\n`);
process.once('SIGTERM', () => process.exit(0));
