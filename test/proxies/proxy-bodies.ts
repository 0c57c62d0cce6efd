// Large bodies through a proxy: NDJSON up and down, and bodies over the limit.
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Test } from 'tap';
import { openEventStream } from '../helpers/event-stream.ts';
import { eventually, http } from '../helpers/server.ts';
import { newTopic, type Through } from './proxy-suite.ts';

const line = `${JSON.stringify({ value: 'x'.repeat(2000) })}\n`;
const lineCount = 10_500;
const upload = Buffer.from(line.repeat(lineCount));
const ndjson = { 'content-type': 'application/x-ndjson' };

interface Reply {
  status: number;
  body: string;
}

/**
 * One typical request by Node's http: the body is written at once, and then the response is read.
 * @param pieces one is sent with Content-Length, more are chunked
 */
function send(url: string, method: string, headers: Record<string, string>, pieces: Buffer[]): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (data) => {
        body += data;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    if (pieces.length === 1) return void sent.end(pieces[0]);
    for (const piece of pieces) sent.write(piece);
    sent.end();
  });
}

function chunked(body: Buffer, count = 40): Buffer[] {
  const size = Math.ceil(body.length / count);
  return Array.from({ length: count }, (_, n) => body.subarray(n * size, (n + 1) * size));
}

/** A chunked NDJSON body that is written piece by piece. */
export function beginUpload(t: Test, url: string): { sent: ClientRequest; response: Promise<[IncomingMessage]> } {
  const sent = request(url, { method: 'POST', headers: ndjson, agent: false });
  t.teardown(() => sent.destroy());
  const response = once(sent, 'response') as Promise<[IncomingMessage]>;
  response.catch(() => undefined);
  return { sent, response };
}

export async function checkBodies(t: Test, through: Through): Promise<void> {
  const { url, brokerUrl, program } = through;

  await t.test('20 MiB of NDJSON can be sent and received', async (t) => {
    const uploads = [
      ['with Content-Length', '', [upload]],
      ['chunked, results=end', '?results=end', chunked(upload)],
      // nginx stops at the first full buffer once the response has begun: hence results=end.
      ...(program.passesBothWaysAtOnce ? ([['chunked', '', chunked(upload)]] as const) : []),
    ] as const;
    for (const [what, query, pieces] of uploads) {
      const topic = await newTopic(through, 'large');
      const produced = await send(`${url}${topic}/records${query}`, 'POST', ndjson, [...pieces]);
      t.equal(produced.status, 200, what);
      const results = produced.body
        .trim()
        .split('\n')
        .map((text) => JSON.parse(text));
      const counted = results.reduce((sum, { count }) => sum + count, 0);
      t.equal(counted, lineCount, `${what}: all records are acknowledged, in ${results.length} results`);
    }

    let bytes = 0;
    for (let offset = 0; offset < lineCount; ) {
      const query = `offset=${offset}&maxRecords=10000&maxBytes=${16 * 1024 * 1024}`;
      const { body } = await http(`${url}/v1/topics/large/partitions/0/records?${query}`, 'GET', undefined, {
        accept: 'application/x-ndjson',
      });
      const lines = (body as string).trim().split('\n');
      t.equal(JSON.parse(lines[0]!).offset, offset);
      offset += lines.length;
      bytes += body.length;
    }
    t.ok(bytes > upload.length, `${bytes} bytes by fetches`);
    const stream = await openEventStream(t, `${url}/v1/topics/large/stream?offset=earliest`);
    const counted = () => stream.messages.reduce((sum, { data }) => sum + (data.records?.length ?? 0), 0);
    await eventually(() => counted() === lineCount, 'all of it as an event stream', 60_000);
    stream.cut();
    await http(`${brokerUrl}/v1/topics/large`, 'DELETE');
  });

  await t.test('each line of a stream is forwarded at once', async (t) => {
    const topic = await newTopic(through, 'lines');
    const endOffset = async () => (await http(`${brokerUrl}${topic}/partitions/0/records?offset=0`)).body.endOffset;
    const held = beginUpload(t, `${url}${topic}/records?results=end`);
    for (let count = 1; count <= 3; count++) {
      held.sent.write('{"value":1}\n');
      if (!program.passesLinesOn) continue;
      await eventually(
        async () => (await endOffset()) === count,
        `line ${count} is appended before the next one is sent`,
      );
    }
    held.sent.end();
    t.equal((await held.response)[0].statusCode, 200);

    const live = beginUpload(t, `${url}${topic}/records`);
    live.sent.write('{"value":1}\n');
    if (!program.respondsWhileSending) live.sent.end();
    const [response] = await live.response;
    const [first] = await once(response, 'data');
    t.match(JSON.parse(String(first)), { baseOffset: 3 }, 'the first result');
    if (!program.respondsWhileSending) return;
    live.sent.end('{"value":2}\n');
    const [second] = await once(response, 'data');
    t.match(JSON.parse(String(second)), { baseOffset: 4 }, 'the second result');
  });

  await t.test('the client can read the refusal of a body over the limit', async (t) => {
    const topic = await newTopic(through, 'refused');
    const json = { 'content-type': 'application/json' };
    const large = Buffer.alloc(20 * 1024 * 1024, 'x');
    const cases = [
      ['records', `${topic}/records`, 'POST', json],
      ['a node', '/v1/nodes/large', 'PUT', { 'content-type': 'text/plain' }],
    ] as const;
    for (const [what, path, method, headers] of cases) {
      const refusals = {
        'with Content-Length': () => send(url + path, method, headers, [large]),
        chunked: () => send(url + path, method, headers, chunked(large)),
        'by fetch': async () => {
          const response = await fetch(url + path, { method, headers, body: large });
          return { status: response.status, body: await response.text() };
        },
      };
      for (const [how, refuse] of Object.entries(refusals)) {
        // The server reads the rest of a body for 2 s. If a busy machine takes longer, the refusal is lost.
        const refused = await eventually(() => refuse().catch(() => undefined), 'a refusal arrives', 60_000);
        t.match(refused, { status: 413, body: /"TOO_LARGE"/ }, `${what}, ${how}`);
      }
    }
    t.equal((await http(`${url}/health/ready`)).status, 200, 'the next request is served');
  });
}
