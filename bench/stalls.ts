// Measures how long one request can block the event loop: `npm run bench:stalls [-- --only=multi] [-- --repeats=3]`. Sends the
// slowest bodies of allowed size to every route, and requests /health/live at the same time. README.md explains the result.
import { type IncomingMessage, request } from 'node:http';
import { parseArgs } from 'node:util';
import { WebSocket } from 'ws';
import { HealthPoller } from './lib/health-poller.ts';
import { table } from './lib/measure.ts';
import { WeirServer } from './lib/processes.ts';
import { commits, heartbeats, hostileJson, joins, lines, multis, records, texts } from './stalls/bodies.ts';

const stallMsMax = 250;
const idleMs = 2000;
const frameBytes = 1024 * 1024 - 100;
const framesEach = 4;

interface Case {
  route: string;
  name: string;
  /** Sends the body. @returns a short description of the response */
  send(): Promise<string>;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: 'string', default: '' }, repeats: { type: 'string', default: '3' } },
  });
  const server = await WeirServer.open();
  const poller = new HealthPoller(server.url);
  try {
    await prepare(server.url);
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    await poller.worst();
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    const idle = await poller.worst();
    const rows: { route: string; name: string; stall: number; all: number[]; came: string }[] = [];
    for (const { route, name, send } of await casesFor(server.url)) {
      if (!route.includes(values.only)) continue;
      const all: number[] = [];
      let came = '';
      for (let i = 0; i < Number(values.repeats); i += 1) {
        await poller.worst();
        came = await send();
        // Work after the response, such as garbage collection, is measured too.
        await new Promise((resolve) => setTimeout(resolve, 50));
        all.push(await poller.worst());
      }
      const stall = Math.min(...all);
      rows.push({ route, name, stall, all, came });
      if (stall > stallMsMax) console.error(`${route}, ${name}: ${shown(all)} ms, ${came}`);
    }
    const routes = [...new Set(rows.map(({ route }) => route))].map((route) => {
      const [worst] = rows.filter((row) => row.route === route).sort((a, b) => b.stall - a.stall);
      return [route, worst!.stall.toFixed(0), shown(worst!.all), worst!.name, worst!.came];
    });
    console.log(table('The worst stall of each route', ['route', 'ms', 'all repeats', 'body', 'response'], routes));
    console.log(`\nIdle: ${idle.toFixed(0)} ms. ${rows.length} bodies, each sent ${values.repeats} times.`);
    const over = rows.filter(({ stall }) => stall > stallMsMax);
    console.log(over.length === 0 ? `None above ${stallMsMax} ms.` : `${over.length} above ${stallMsMax} ms.`);
    process.exitCode = over.length === 0 ? 0 : 1;
  } finally {
    await poller.stop();
    await server.stop();
  }
}

const shown = (all: readonly number[]) => all.map((ms) => ms.toFixed(0)).join(', ');

async function prepare(url: string): Promise<void> {
  const json = { 'content-type': 'application/json' };
  const topic = { name: 'stalls', partitions: 100, config: { 'retention.bytes': 4_000_000 } };
  const large = {
    name: 'large',
    partitions: 1,
    config: { 'max.message.bytes': largeMessageBytes, 'retention.bytes': 4_000_000 },
  };
  for (const body of [topic, large]) {
    const { status, text } = await send(url, 'POST', '/v1/topics', JSON.stringify(body), json);
    if (status !== 201) throw new Error(`POST /v1/topics: ${status} ${text}`);
  }
  await send(url, 'POST', '/v1/groups/g/members', JSON.stringify({ topics: ['stalls'], memberId: 'm' }), json);
}

const largeMessageBytes = 8 * 1024 * 1024;

/** The limit of each body, from the OpenAPI description of the server. */
async function limitsOf(url: string): Promise<(operationId: string) => number> {
  const { text } = await send(url, 'GET', '/openapi.json');
  const document = JSON.parse(text) as {
    paths: Record<string, Record<string, { operationId: string; requestBody?: { description?: string } }>>;
  };
  const limits = new Map<string, number>();
  for (const operation of Object.values(document.paths).flatMap((path) => Object.values(path))) {
    const match = /At most (\d+) ([KM])iB/.exec(operation.requestBody?.description ?? '');
    if (match) limits.set(operation.operationId, Number(match[1]) * (match[2] === 'K' ? 1024 : 1024 * 1024));
  }
  return (operationId) => limits.get(operationId)!;
}

async function casesFor(url: string): Promise<Case[]> {
  const limitOf = await limitsOf(url);
  const cases: Case[] = [];
  const add = (route: string, bodies: [name: string, body: string | Buffer][], type = 'application/json') => {
    const [method, path] = route.split(' ') as [string, string];
    for (const [name, body] of bodies) {
      const response = async () => {
        const { status, text } = await send(url, method, path, body, { 'content-type': type });
        return `${status} ${/"code":"(\w+)"/.exec(text)?.[1] ?? ''}`.trim();
      };
      cases.push({
        route: `${method} ${path}${type === 'application/json' ? '' : ` (${type})`}`,
        name,
        send: response,
      });
    }
  };
  const plain: [route: string, operationId: string, field: string][] = [
    ['POST /v1/sessions', 'sessions.create', 'ttl'],
    ['POST /v1/producers', 'producers.register', 'name'],
    ['POST /v1/topics', 'topics.create', 'config'],
    ['PATCH /v1/topics/stalls', 'topics.alter', 'config'],
    ['PATCH /v1/topics/stalls/partitions/0', 'partitions.reassign', 'replicas'],
    ['POST /v1/elections', 'elections.create', 'topic'],
    ['POST /v1/groups/g/members', 'groups.join', 'topics'],
    ['POST /v1/groups/g/members/m/heartbeat', 'groups.heartbeat', 'owned'],
    ['POST /v1/groups/g/offsets', 'groups.commit', 'offsets'],
    ['POST /v1/groups/g/offsets/reset', 'groups.resetOffsets', 'to'],
    ['POST /v1/multi', 'multi', 'ops'],
  ];
  for (const [route, operationId, field] of plain) add(route, hostileJson(limitOf(operationId), field));
  add('POST /v1/multi', multis(limitOf('multi')));
  add('POST /v1/groups/empty/offsets', commits(limitOf('groups.commit')));
  add('POST /v1/groups/g2/members', joins(limitOf('groups.join')));
  add('POST /v1/groups/g/members/m/heartbeat', heartbeats(limitOf('groups.heartbeat')));
  const bytes = limitOf('records.produce');
  for (const topic of ['stalls', 'large']) {
    const route = `POST /v1/topics/${topic}/records`;
    add(route, records(bytes));
    const inMessage =
      topic === 'large'
        ? records(largeMessageBytes - 100).map(([name, body]) => [`${name}, within a message`, body])
        : [];
    add(route, inMessage as [string, string][]);
    add(route, lines(bytes), 'application/x-ndjson');
    add(route, [['zeroes', Buffer.alloc(bytes)]], 'application/octet-stream');
    add(route, texts(bytes, topic === 'large' ? largeMessageBytes - 100 : 1024 * 1024 - 100), 'text/plain');
    add(route, records(bytes).slice(0, 18), 'application/cloudevents+json');
  }
  for (const method of ['PUT', 'POST']) {
    add(
      `${method} /v1/nodes/stalls`,
      [
        ['zeroes', Buffer.alloc(1024 * 1024)],
        ['zeroes, too many', Buffer.alloc(bytes)],
      ],
      'a/b',
    );
    add(`${method} /v1/nodes/stalls`, [['text', 'é'.repeat(bytes / 2)]], 'application/x-www-form-urlencoded');
  }
  add('GET /v1/topics/large/partitions/0/records?maxBytes=16777216&maxRecords=100000', [['what was produced', '']]);
  for (const path of ['/v1/watch', '/v1/groups/g3/stream?topics=stalls', '/v1/topics/stalls/stream']) {
    const frames = [...hostileJson(frameBytes, 'offsets'), ...commits(frameBytes), ...multis(frameBytes).slice(0, 6)];
    for (const [name, frame] of frames) {
      cases.push({ route: `socket ${path}`, name, send: () => sendFrames(url, path, frame) });
    }
  }
  return cases;
}

function send(
  url: string,
  method: string,
  path: string,
  body: string | Buffer = '',
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const bytes = Buffer.from(body);
    const sent = request(`${url}${path}`, {
      method,
      headers: { ...headers, 'content-length': bytes.length },
      agent: false,
    });
    // The server may refuse the request and close the connection before all is sent.
    sent.on('error', (error) => resolve({ status: 0, text: String(error) }));
    sent.on('response', (response) => {
      // Never rejects.
      void textOf(response).then((text) => resolve({ status: response.statusCode!, text }));
    });
    sent.end(bytes);
  });
}

/** The first megabyte of a response; if it was cut off, what arrived and the error. */
async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const piece of response) if (text.length < 1_000_000) text += String(piece);
  } catch (error) {
    text += String(error);
  }
  return text;
}

/** Sends the frame several times, and then a frame that gets a response after them. */
async function sendFrames(url: string, path: string, frame: string): Promise<string> {
  const ws = new WebSocket(url.replace('http', 'ws') + path);
  let responses = 0;
  let last = '';
  const done = new Promise<void>((resolve) => {
    ws.on('message', (data: Buffer) => {
      const { type, code } = JSON.parse(String(data)) as { type: string; code?: string };
      if (type !== 'error') return;
      last = code ?? '';
      responses += 1;
      if (responses === framesEach) resolve();
    });
    ws.on('close', () => resolve());
    ws.on('error', () => resolve());
  });
  await new Promise<void>((resolve) => {
    ws.once('open', () => resolve());
    ws.once('close', () => resolve());
  });
  for (let i = 0; i < framesEach; i += 1) ws.send(frame);
  await done;
  ws.terminate();
  return `${responses} errors ${last}`;
}

await main();
