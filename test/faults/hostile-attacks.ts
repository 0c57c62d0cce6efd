// Hostile clients as a program: `node hostile-attacks.js <url> <attack> <seconds> <address>…`. Each attack sends from the given
// addresses of the loopback for at most so many seconds, and ends by itself. It prints the count of each response, which shows
// that the attack took place.
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';

interface Attacker {
  /** The next address, in turn. */
  address(): string;
  url: URL;
  /** Milliseconds that are left. */
  leftMs(): number;
  /** Counts a response. */
  note(what: string): void;
}

const json = { 'content-type': 'application/json' };

/** One request; never rejects. */
function send(
  attacker: Attacker,
  agent: Agent,
  method: string,
  path: string,
  body: string | Buffer = '',
  headers: Record<string, string> = json,
): Promise<string> {
  return new Promise((resolve) => {
    const options = { method, agent, headers, timeout: Math.max(1, attacker.leftMs()) };
    const sent = request(new URL(path, attacker.url), options, (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        if (text.length < 65_536) text += part;
      });
      response.on('close', () => {
        attacker.note(String(response.statusCode));
        resolve(text);
      });
    });
    sent.on('timeout', () => sent.destroy());
    sent.on('error', (error: NodeJS.ErrnoException) => {
      attacker.note(error.code ?? 'cut off');
      resolve('');
    });
    sent.end(body);
  });
}

function agentOf(attacker: Attacker, maxSockets: number): Agent {
  return new Agent({ keepAlive: true, maxSockets, localAddress: attacker.address() });
}

/** Keeps `parallel` senders busy until the time is over. */
async function flood(
  attacker: Attacker,
  parallel: number,
  next: (n: number) => [method: string, path: string, body?: string | Buffer, headers?: Record<string, string>],
): Promise<void> {
  let sent = 0;
  const sender = async () => {
    const agent = agentOf(attacker, 1);
    while (attacker.leftMs() > 0) {
      const [method, path, body, headers] = next(sent);
      sent += 1;
      await send(attacker, agent, method, path, body, headers);
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: parallel }, sender));
}

/** Opens raw connections that send `head` and then one byte at intervals, and keeps them open until the time is over. */
async function trickle(attacker: Attacker, count: number, head: string, byte: string): Promise<void> {
  const sockets: Socket[] = [];
  for (let n = 0; n < count && attacker.leftMs() > 0; n++) {
    const socket = connect({
      host: attacker.url.hostname,
      port: Number(attacker.url.port),
      localAddress: attacker.address(),
    });
    socket.on('error', () => attacker.note('cut off'));
    socket.on('data', (data) => attacker.note(/^HTTP\/1\.1 (\d+)/.exec(data.toString('latin1'))?.[1] ?? 'more'));
    socket.write(head);
    sockets.push(socket);
    if (n % 100 === 99) await pause(5);
  }
  while (attacker.leftMs() > 0) {
    await pause(Math.min(1000, Math.max(1, attacker.leftMs())));
    for (const socket of sockets) if (socket.writable && byte !== '') socket.write(byte);
  }
  for (const socket of sockets) socket.destroy();
}

async function sockets(
  attacker: Attacker,
  count: number,
  path: string,
  frames: (socket: number) => Iterable<object>,
): Promise<void> {
  const open: WebSocket[] = [];
  for (let n = 0; n < count; n++) {
    const ws = new WebSocket(new URL(path, attacker.url.href.replace('http', 'ws')), {
      localAddress: attacker.address(),
    });
    open.push(ws);
    ws.on('error', () => attacker.note('cut off'));
    ws.on('close', (code) => attacker.note(`closed ${code}`));
    ws.on('message', (data) => attacker.note(/^.{0,40}"type":"(\w+)"/.exec(data.toString())?.[1] ?? 'frame'));
    // Never rejects: only an open socket is sent frames.
    ws.once('open', () => void sendFrames(ws, frames(n)));
  }
  await pause(Math.max(0, attacker.leftMs()));
  for (const ws of open) ws.terminate();
}

/** Sends the frames, with a pause after each 500, for as long as the socket is open. */
async function sendFrames(ws: WebSocket, frames: Iterable<object>): Promise<void> {
  let sent = 0;
  for (const frame of frames) {
    if (ws.readyState !== WebSocket.OPEN) return;
    ws.send(JSON.stringify(frame));
    sent += 1;
    if (sent % 500 === 0) await pause(1);
  }
}

const watchFrames = (count: number, rest: object) =>
  Array.from({ length: count }, (_, n) => ({ type: 'watch', id: `w${n}`, path: '/', mode: 'recursive', ...rest }));

/** Every attack by its name; `prepare` runs before the time does. */
export const attacks: Record<string, (attacker: Attacker) => Promise<void>> = {
  'history reads': (attacker) => sockets(attacker, 2, '/v1/watch', () => watchFrames(5000, { data: true, since: 0 })),

  'slow bodies': (attacker) =>
    trickle(
      attacker,
      1000,
      `PUT /v1/nodes/slow HTTP/1.1\r\nhost: ${attacker.url.host}\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n`,
      '',
    ),

  'idle streams of records': (attacker) =>
    trickle(
      attacker,
      300,
      `POST /v1/topics/hostile/records HTTP/1.1\r\nhost: ${attacker.url.host}\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n`,
      '1\r\n \r\n',
    ),

  'idle connections': (attacker) => trickle(attacker, 3000, '', ''),

  'deep and wide JSON': (attacker) => {
    const bodies = ['[', '[],', '{"a":', '"a",'].map((piece) => {
      const text = piece.repeat(Math.floor((14 * 1024 * 1024) / piece.length));
      return piece === '[],' || piece === '"a",' ? `{"records":[${text}1]}` : text;
    });
    const keys = Array.from({ length: 500_000 }, (_, n) => `"k${n}":0`).join(',');
    bodies.push(`{${keys}}`);
    const paths = ['/v1/sessions', '/v1/producers', '/v1/multi', '/v1/topics/hostile/records', '/v1/groups/x/members'];
    return flood(attacker, 4, (n) => ['POST', paths[n % paths.length]!, bodies[n % bodies.length]!]);
  },

  'large transactions': (attacker) => {
    const checks = Array.from({ length: 10_000 }, () => ({ op: 'check', path: '/', exists: true }));
    const data = 'x'.repeat(15 * 1024);
    const creates = (n: number) =>
      Array.from({ length: 1000 }, (_, i) => ({ op: 'create', path: `/hostile-${process.pid}-${n}-${i}`, data }));
    const body = JSON.stringify({ ops: checks });
    return flood(attacker, 60, (n) => ['POST', '/v1/multi', n % 20 === 0 ? JSON.stringify({ ops: creates(n) }) : body]);
  },

  'recursive deletes': async (attacker) => {
    // Names of the maximum length.
    const name = 'n'.repeat(2250);
    const agent = agentOf(attacker, 8);
    for (let round = 0; attacker.leftMs() > 0; round++) {
      const parent = `/deep-${process.pid}-${round}`;
      await send(attacker, agent, 'PUT', `/v1/nodes${parent}`);
      const chunks = Array.from({ length: 40 }, (_, chunk) =>
        Array.from({ length: 200 }, (_, i) => ({ op: 'create', path: `${parent}/${name}${chunk}-${i}`, data: '' })),
      );
      await Promise.all(chunks.map((ops) => send(attacker, agent, 'POST', '/v1/multi', JSON.stringify({ ops }))));
      await send(attacker, agent, 'DELETE', `/v1/nodes${parent}?recursive=true`);
    }
    agent.destroy();
  },

  'many partitions': async (attacker) => {
    const agent = agentOf(attacker, 4);
    for (let n = 0; n < 12 && attacker.leftMs() > 0; n++) {
      const topic = JSON.stringify({ name: `many-${process.pid}-${n}`, partitions: 2000 });
      await send(attacker, agent, 'POST', '/v1/topics', topic);
    }
    const join = JSON.stringify({ pattern: '.*' });
    await flood(attacker, 32, () => ['POST', `/v1/groups/many-${process.pid}/members`, join]);
    agent.destroy();
  },

  'fan-out': async (attacker) => {
    const agent = agentOf(attacker, 1);
    const opened = sockets(attacker, 3, '/v1/watch', () => watchFrames(10_000, { data: true }));
    while (attacker.leftMs() > 0) {
      await pause(1000);
      await send(attacker, agent, 'PUT', '/v1/nodes/fan-out', 'x'.repeat(16 * 1024), { 'content-type': 'text/plain' });
    }
    await opened;
    agent.destroy();
  },

  'stored things': (attacker) => {
    const name = 'f'.repeat(200);
    return flood(attacker, 32, (n) => {
      switch (n % 4) {
        case 0:
          return [
            'POST',
            '/v1/topics/hostile/records',
            '{"records":[{"value":1,"partition":0}]}',
            { ...json, 'weir-fence': `${name}${n}=1` },
          ];
        case 1:
          return ['POST', '/v1/sessions', '{"ttl":"24h"}'];
        case 2:
          return ['POST', '/v1/producers', JSON.stringify({ name: `${name}${n}` })];
        default:
          return [
            'POST',
            '/v1/topics/hostile/records',
            '{"records":[{"value":1}]}',
            { ...json, 'idempotency-key': `${name}${n}` },
          ];
      }
    });
  },

  'unknown handles': (attacker) =>
    flood(attacker, 200, (n) =>
      n % 2 === 0
        ? ['PUT', `/v1/sessions/${n.toString(16).padStart(16, '0')}.${'A'.repeat(22)}`, '', {}]
        : ['POST', `/v1/groups/honest/members/nobody-${n}/heartbeat`, '{"memberEpoch":1}'],
    ),

  'slow readers': async (attacker) => {
    const agent = agentOf(attacker, 4);
    const records = Array.from({ length: 12 }, () => ({ value: 'x'.repeat(64 * 1024), partition: 0 }));
    await Promise.all(
      Array.from({ length: 24 }, () =>
        send(attacker, agent, 'POST', '/v1/topics/hostile/records', JSON.stringify({ records })),
      ),
    );
    agent.destroy();
    // Each connection asks for many fetches of 16 MiB, and reads nothing.
    const open: Socket[] = [];
    const ask = `GET /v1/topics/hostile/partitions/0/records?offset=0&maxBytes=16777216 HTTP/1.1\r\nhost: ${attacker.url.host}\r\n\r\n`;
    while (attacker.leftMs() > 0) {
      for (const socket of open) if (socket.destroyed) open.splice(open.indexOf(socket), 1);
      while (open.length < 100) {
        const { hostname: host, port } = attacker.url;
        const socket = connect({ host, port: Number(port), localAddress: attacker.address() });
        socket.pause();
        socket.on('error', (error: NodeJS.ErrnoException) => {
          attacker.note(error.code ?? 'cut off');
          socket.destroy();
        });
        socket.write(ask.repeat(50));
        open.push(socket);
      }
      await pause(Math.min(200, Math.max(1, attacker.leftMs())));
      // Only a write shows which connections were closed.
      for (const socket of open) if (socket.writable) socket.write(ask);
    }
    for (const socket of open) socket.destroy();
  },

  'requests without end': (attacker) => flood(attacker, 1500, () => ['GET', '/v1/nodes/?view=tree', '', {}]),

  'large responses without end': async (attacker) => {
    const agent = agentOf(attacker, 8);
    const name = `wide-${process.pid}`;
    await send(attacker, agent, 'POST', '/v1/topics', JSON.stringify({ name, partitions: 2000 }));
    // If other attacks used up the limit of partitions, their topics have many partitions, too.
    const topics: { name: string; partitions: number }[] = JSON.parse(
      await send(attacker, agent, 'GET', '/v1/topics'),
    ).topics;
    const topic = topics.find(({ partitions }) => partitions === 2000)?.name ?? name;
    const records = Array.from({ length: 12 }, () => ({ value: 'x'.repeat(64 * 1024), partition: 0 }));
    const group = name;
    const offsets = Array.from({ length: 2000 }, (_, partition) => ({ topic, partition, offset: 0 }));
    await Promise.all([
      send(attacker, agent, 'POST', `/v1/groups/${group}/offsets`, JSON.stringify({ offsets })),
      ...Array.from({ length: 24 }, () =>
        send(attacker, agent, 'POST', '/v1/topics/hostile/records', JSON.stringify({ records })),
      ),
    ]);
    agent.destroy();
    const paths = [
      '/v1/nodes/?view=tree&limit=10000',
      '/v1/nodes/?view=children&stats=true&limit=10000',
      `/v1/topics/${topic}`,
      `/v1/topics/${topic}/offsets`,
      `/v1/topics/${topic}/offsets?at=1`,
      `/v1/groups/${group}`,
      `/v1/groups/${group}/offsets`,
      '/v1/groups?limit=1000',
      '/v1/topics/hostile/partitions/0/records?offset=0',
      '/v1/topics/hostile/partitions/0/records?offset=0&maxBytes=16777216',
      '/metrics',
    ];
    await flood(attacker, 500, (n) => ['GET', paths[n % paths.length]!, '', {}]);
  },
};

async function main([url, attack, seconds, ...addresses]: string[]): Promise<void> {
  const until = performance.now() + Number(seconds) * 1000;
  const responses = new Map<string, number>();
  let asked = 0;
  await attacks[attack!]!({
    url: new URL(url!),
    address: () => {
      asked += 1;
      return addresses[asked % addresses.length]!;
    },
    leftMs: () => until - performance.now(),
    note: (what) => responses.set(what, (responses.get(what) ?? 0) + 1),
  });
  process.stdout.write(JSON.stringify(Object.fromEntries(responses)));
  process.exit(0);
}

if (process.argv[1] === new URL(import.meta.url).pathname) await main(process.argv.slice(2));
