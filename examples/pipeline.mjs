// Creates many nodes over one pipelined socket, in order and each exactly once, though connections break on the way:
//   node examples/pipeline.mjs ws://localhost:7070 /jobs 1000
// Several URLs with commas between them are tried in turn. Needs the package ws, or a Node.js with a global WebSocket (22 or newer).
const Socket = globalThis.WebSocket ?? (await import('ws')).WebSocket;

const [urls = 'ws://localhost:7070', parent = '/jobs', count = '1000'] = process.argv.slice(2);
/** The server keeps the results of so many writes for repeats. */
const inFlightMax = 256;

/** Writes without a result, by seq; a Map keeps their order. */
const inFlight = new Map();
/** Names the session to create: however often the request arrives, one session is created. */
const idempotencyKey = crypto.randomUUID();
let handle;
let lastSeq = 0;
let created = 0;
let connects = 0;
let socket;

function next() {
  while (lastSeq < Number(count) && inFlight.size < inFlightMax) {
    lastSeq += 1;
    const request = {
      id: lastSeq,
      op: 'create',
      path: `${parent}/job-`,
      sequential: true,
      parents: true,
      seq: lastSeq,
    };
    inFlight.set(lastSeq, request);
    socket.send(JSON.stringify(request));
  }
}

function receive(response) {
  if (response.type !== undefined) return;
  if (response.id === 'session') {
    if (response.error) throw new Error(response.error.detail);
    handle ??= response.ok.session;
    // What has no response is sent again, with the same seq: it takes effect once.
    if (inFlight.size > 0) socket.send(JSON.stringify([...inFlight.values()]));
    next();
    return;
  }
  if (response.error) throw new Error(`${response.id}: ${response.error.detail}`);
  inFlight.delete(response.id);
  created += 1;
  if (created === Number(count)) {
    console.log(`${created} nodes created, the last is ${response.ok.path}; ${connects} connections`);
    socket.close();
  } else next();
}

function connect() {
  const all = urls.split(',');
  socket = new Socket(`${all[connects % all.length]}/v1/socket`, 'weir.v1');
  connects += 1;
  socket.onopen = () => {
    const session = handle === undefined ? { ttl: '30s', idempotencyKey } : { attach: handle };
    socket.send(JSON.stringify({ id: 'session', op: 'session', ...session }));
  };
  socket.onmessage = ({ data }) => [JSON.parse(data)].flat().forEach(receive);
  socket.onerror = () => undefined;
  socket.onclose = () => {
    if (created < Number(count)) setTimeout(connect, 100);
  };
}

connect();
