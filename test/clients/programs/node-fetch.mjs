// Node's fetch, and its WebSocket where it has one: node node-fetch.mjs URL NAME
const [url, name] = process.argv.slice(2);
const v1 = `${url}/v1`;
const json = { 'content-type': 'application/json' };
const node = `${v1}/nodes/${name}`;

async function ask(step, target, options, more = async () => '') {
  const response = await fetch(target, options);
  const extra = await more(response);
  console.log(`${step} ${response.status}${extra === '' ? '' : ` ${extra}`}`);
  return response;
}
const text = (response) => response.text();
const code = async (response) => (await response.json()).code;
const count = async (response) => (await response.json()).records.length;
let said;
const keep = async (response) => {
  said = await response.json();
  return '';
};

await ask('session', `${v1}/sessions`, { method: 'POST', headers: json, body: '{"ttl":"30s"}' }, keep);
const own = { 'weir-session': said.session };
await ask('renew', `${v1}/sessions/${said.session}`, { method: 'PUT' });
await ask('ephemeral', `${node}?mode=ephemeral`, { method: 'PUT', headers: own, body: 'blue' });
const tag = (await ask('read', node, {}, text)).headers.get('etag');
await ask('compare-and-set', node, { method: 'PUT', headers: { 'if-match': tag }, body: 'green' });
await ask('conflict', node, { method: 'PUT', headers: { 'if-match': tag }, body: 'green' }, code);
const seen = (await fetch(node)).headers.get('etag');
const waiting = ask('long-poll', `${node}?wait=20s`, { headers: { 'if-none-match': seen } }, text);
await fetch(node, { method: 'PUT', body: 'red' });
await waiting;

await ask('topic', `${v1}/topics`, { method: 'POST', headers: json, body: JSON.stringify({ name }) });
const records = `${v1}/topics/${name}/records`;
const two = JSON.stringify({ records: [{ key: 'k', value: 1 }, { value: { two: 2 } }] });
await ask('produce', records, { method: 'POST', headers: json, body: two });
const lines = new ReadableStream({
  start(controller) {
    controller.enqueue(new TextEncoder().encode('{"value":3}\n'));
    controller.close();
  },
});
const ndjson = { 'content-type': 'application/x-ndjson' };
await ask('lines', records, { method: 'POST', headers: ndjson, body: lines, duplex: 'half' }, async (response) => {
  await response.text();
  return '';
});
await ask('fetch', `${v1}/topics/${name}/partitions/0/records?wait=5s`, {}, count);

const members = `${v1}/groups/${name}/members`;
const joining = JSON.stringify({ topics: [name], reset: 'earliest' });
await ask('join', members, { method: 'POST', headers: json, body: joining }, keep);
const member = `${members}/${said.memberId}`;
const secret = { 'weir-member': said.memberSecret };
await ask('consume', `${member}/records?wait=5s`, { headers: secret }, count);
const beat = JSON.stringify({ memberEpoch: said.memberEpoch, owned: said.assignment });
await ask('heartbeat', `${member}/heartbeat`, { method: 'POST', headers: { ...json, ...secret }, body: beat });
await ask('leave', member, { method: 'DELETE', headers: secret });
await ask('problem', `${v1}/nodes/${name}-none`, {}, code);

const stop = new AbortController();
await ask('events', `${v1}/watch/${name}?since=0`, { signal: stop.signal }, async (response) => {
  let sum = '';
  for await (const piece of response.body) {
    sum += Buffer.from(piece).toString();
    if (sum.includes('"changed"')) return 'changed';
  }
});
stop.abort();
if (globalThis.WebSocket) {
  const socket = new WebSocket(`${v1.replace('http', 'ws')}/watch`);
  socket.onopen = () =>
    socket.send(JSON.stringify({ type: 'watch', id: 'w', path: `/${name}`, mode: 'node', since: 0 }));
  await new Promise((resolve) => {
    socket.onmessage = ({ data }) => /"events"/.test(data) && resolve();
  });
  console.log('watch events');
  socket.close();
}
await ask('end', `${v1}/sessions/self`, { method: 'DELETE', headers: own });
