// Node's http module, and the packages ws and eventsource: node node-http.mjs URL NAME
import { request } from 'node:http';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

const [url, name] = process.argv.slice(2);
const v1 = `${url}/v1`;
const node = `${v1}/nodes/${name}`;

/** @param body one piece is sent with Content-Length, several are chunked */
function ask(target, { method = 'GET', headers = {}, body = [] } = {}) {
  return new Promise((resolve, reject) => {
    const sent = request(target, { method, headers }, (response) => {
      let text = '';
      response.on('data', (piece) => {
        text += piece;
      });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    sent.on('error', reject);
    for (const piece of body.slice(0, -1)) sent.write(piece);
    sent.end(body.at(-1));
  });
}
async function step(title, target, options, more = () => '') {
  const response = await ask(target, options);
  console.log([title, response.status, more(response)].filter((part) => part !== '').join(' '));
  return response;
}
const text = (response) => response.text;
const code = (response) => JSON.parse(response.text).code;
const count = (response) => JSON.parse(response.text).records.length;
const asJson = (value, headers = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: [JSON.stringify(value)],
});

const { session } = JSON.parse((await step('session', `${v1}/sessions`, asJson({ ttl: '30s' }))).text);
const own = { 'weir-session': session };
await step('renew', `${v1}/sessions/${session}`, { method: 'PUT' });
await step('ephemeral', `${node}?mode=ephemeral`, { method: 'PUT', headers: own, body: ['blue'] });
const tag = (await step('read', node, {}, text)).headers.etag;
await step('compare-and-set', node, { method: 'PUT', headers: { 'if-match': tag }, body: ['green'] });
await step('conflict', node, { method: 'PUT', headers: { 'if-match': tag }, body: ['green'] }, code);
const seen = (await ask(node)).headers.etag;
const waiting = step('long-poll', `${node}?wait=20s`, { headers: { 'if-none-match': seen } }, text);
await ask(node, { method: 'PUT', body: ['red'] });
await waiting;

await step('topic', `${v1}/topics`, asJson({ name }));
const records = `${v1}/topics/${name}/records`;
await step('produce', records, asJson({ records: [{ key: 'k', value: 1 }, { value: { two: 2 } }] }));
const ndjson = { 'content-type': 'application/x-ndjson' };
await step('lines', records, { method: 'POST', headers: ndjson, body: ['{"value"', ':3}\n'] });
await step('fetch', `${v1}/topics/${name}/partitions/0/records?wait=5s`, {}, count);

const joining = asJson({ topics: [name], reset: 'earliest' });
const joined = JSON.parse((await step('join', `${v1}/groups/${name}/members`, joining)).text);
const member = `${v1}/groups/${name}/members/${joined.memberId}`;
const secret = { 'weir-member': joined.memberSecret };
await step('consume', `${member}/records?wait=5s`, { headers: secret }, count);
const beat = { memberEpoch: joined.memberEpoch, owned: joined.assignment };
await step('heartbeat', `${member}/heartbeat`, asJson(beat, secret));
await step('leave', member, { method: 'DELETE', headers: secret });
await step('problem', `${v1}/nodes/${name}-none`, {}, code);

const events = new EventSource(`${v1}/watch/${name}?since=0`);
await new Promise((resolve) => {
  events.onmessage = ({ data }) => /"changed"/.test(data) && resolve();
});
console.log('events 200 changed');
events.close();
const socket = new WebSocket(`${v1.replace('http', 'ws')}/watch`);
socket.on('open', () => {
  socket.send(JSON.stringify({ type: 'watch', id: 'w', path: `/${name}`, mode: 'node', since: 0 }));
});
await new Promise((resolve) => {
  socket.on('message', (data) => /"events"/.test(String(data)) && resolve());
});
console.log('watch events');
socket.close();
await step('end', `${v1}/sessions/self`, { method: 'DELETE', headers: own });
