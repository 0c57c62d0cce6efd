// The memory of a line of a stream of records that does not come to its end.
import t from 'tap';
import { defaultLimits } from '../../../src/app.ts';
import { openRaw } from '../../helpers/raw-connection.ts';
import { eventually, http, startTestServer, type TestServer } from '../../helpers/server.ts';

const { admission, timeouts } = defaultLimits;

async function metric({ url }: TestServer, name: string): Promise<number> {
  const text = (await http(`${url}/metrics`)).body as string;
  const samples = [...text.matchAll(new RegExp(`^weir_${name}{.*} (\\d+)`, 'gm'))];
  return samples.reduce((sum, [, value]) => sum + Number(value), 0);
}

t.test('lines of streams of records that do not end count as bodies', async (t) => {
  const KiB = 1024;
  const few = { ...admission, bodiesBytesMax: 1024 * KiB };
  const server = await startTestServer(t, { maxBodyBytes: 256 * KiB, trustProxy: ['127.0.0.1'] }, undefined, {
    admission: few,
    timeouts,
  });
  await http(`${server.url}/v1/topics`, 'POST', { name: 'lines' });
  const head =
    'POST /v1/topics/lines/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n';
  const line = 'x'.repeat(300 * KiB);
  const senders = Array.from({ length: 8 }, () => openRaw(t, server.url));
  for (const { socket } of senders) socket.write(`${head}${line.length.toString(16)}\r\n${line}\r\n`);
  await eventually(
    () => senders.some(({ received }) => /^HTTP\/1.1 429 .*bytes of bodies/s.test(received())),
    'some are refused',
  );
  t.ok((await metric(server, 'body_bytes_in_flight')) <= 1024 * KiB);
  const honest = await http(`${server.url}/v1/nodes/n`, 'PUT', 'x'.repeat(200 * KiB), {
    'x-forwarded-for': '127.0.0.2',
  });
  t.equal(honest.status, 201, 'another client has room');
  for (const { socket } of senders) socket.destroy();
  await eventually(async () => (await metric(server, 'body_bytes_in_flight')) === 0, 'nothing is left of them');
});
