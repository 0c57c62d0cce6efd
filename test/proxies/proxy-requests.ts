// Requests through a proxy: requests and responses must arrive unchanged.
import { request } from 'node:http';
import type { Test } from 'tap';
import { http } from '../helpers/server.ts';
import type { Through } from './proxy-suite.ts';

/** Large enough for every proxy's compression. */
const text = 'blue, green and red; '.repeat(200);

/** The raw head of a response to a client that accepts gzip and has its own address. */
function headOf(url: string, method: string, headers: Record<string, string>, localAddress?: string) {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const sent = request(url, { method, headers, localAddress, agent: false }, (response) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (data) => {
        body += data;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

export async function checkRequests(t: Test, through: Through): Promise<void> {
  const { url, compression, brokerUrl, program } = through;
  const root = compression ? 'packed' : 'plain';
  const node = `${url}/v1/nodes/${root}`;

  await t.test('plain requests', async (t) => {
    t.match(await http(node, 'PUT', text, { 'content-type': 'text/plain' }), {
      status: 201,
      body: { path: `/${root}` },
    });
    const read = await http(node);
    t.equal(read.body, text);
    t.match(JSON.parse(read.headers.get('weir-stat')!), { version: 0, dataLength: text.length });
    t.match(read.headers.get('weir-zxid'), /^\d+$/);
    const head = await headOf(node, 'HEAD', {});
    t.equal(head.status, 200);
    t.match(head.headers, { 'weir-stat': /"version":0/ });
    t.match(await http(`${url}/v1/nodes/none`), { status: 404, body: { code: 'NO_NODE' } });
    for (const path of ['/health/live', '/openapi.json', '/docs', '/metrics']) {
      t.equal((await http(url + path)).status, 200, path);
    }
    const patched = { config: { 'retention.ms': 1000 } };
    t.equal((await http(`${url}/v1/topics/none`, 'PATCH', patched)).body.code, 'UNKNOWN_TOPIC');
    t.equal((await http(`${node}/child`, 'POST', 'x')).status, 201);
    t.equal((await http(`${node}?recursive=true`, 'DELETE')).status, 204);
  });

  await t.test('a session can be renewed with an empty body of any kind', async (t) => {
    const { body: session } = await http(`${url}/v1/sessions`, 'POST', { ttl: '30s' });
    const self = `${url}/v1/sessions/self`;
    const own = { 'weir-session': session.session };
    t.equal((await http(self, 'PUT', undefined, own)).status, 200);
    t.equal((await http(self, 'PUT', '', { ...own, 'content-type': 'application/x-www-form-urlencoded' })).status, 200);
    const put = await http(`${node}?mode=ephemeral`, 'PUT', 'x', own);
    t.match(put, { status: 201, body: { stat: { ephemeralOwner: session.id } } });
    t.equal((await http(self, 'DELETE', undefined, own)).status, 204);
    t.equal((await http(node)).status, 404);
  });

  await t.test('compare-and-set works with the ETag that the client got', async (t) => {
    await http(node, 'PUT', text);
    for (const view of ['data', 'node']) {
      const seen = await headOf(`${node}?view=${view}`, 'GET', { 'accept-encoding': 'gzip' });
      t.equal(seen.headers['content-encoding'], compression ? 'gzip' : undefined, 'compressed or not, as configured');
      const tag = String(seen.headers.etag);
      t.comment(`${program.name}, ${root}, view=${view}: the tag is ${tag}`);
      const changed = await http(node, 'PUT', text, { 'if-match': tag });
      t.equal(changed.status, 200, `If-Match: ${tag}`);
      t.match(await http(node, 'PUT', text, { 'if-match': tag }), { status: 412, body: { code: 'BAD_VERSION' } });
    }
    t.equal((await http(node, 'PUT', text, { 'if-none-match': '*' })).body.code, 'NODE_EXISTS');
  });

  await t.test('a long poll with the ETag that the client got waits', async (t) => {
    for (const view of ['data', 'stat', 'children']) {
      const seen = await headOf(`${node}?view=${view}`, 'GET', { 'accept-encoding': 'gzip' });
      const headers = { 'if-none-match': String(seen.headers.etag), 'accept-encoding': 'gzip' };
      const unchanged = await headOf(`${node}?view=${view}&wait=100ms`, 'GET', headers);
      t.equal(unchanged.status, 304, `view=${view}: ${headers['if-none-match']}`);
      const waiting = headOf(`${node}?view=${view}&wait=60s`, 'GET', headers);
      await http(`${brokerUrl}/v1/nodes/${root}`, 'PUT', text);
      await http(`${brokerUrl}/v1/nodes/${root}/child-`, 'POST', 'x');
      t.equal((await waiting).status, 200);
    }
  });

  await checkFreshness(t, through);

  await t.test('encoded paths and names arrive unchanged', async (t) => {
    const names = [
      '%2Fdeep%2Fer',
      '/%C3%BC',
      '/with%20space',
      '/with+plus',
      '/100%25',
      '/a%3Fb%23c',
      '/%E2%82%AC/',
      '/.hidden',
      '/a%2Bb;c=d',
    ];
    for (const name of names) {
      const put = await http(`${url}/v1/nodes/${root}${name}?parents=true`, 'PUT', name);
      const path = `/${root}${decodeURIComponent(name)}`.replace(/\/$/, '');
      t.match(put, { status: 201, body: { path } }, name);
      t.equal((await http(`${brokerUrl}/v1/nodes/${root}${name}`)).body, name, `${name}, read from the broker itself`);
      t.equal(
        (await http(`${url}/v1/nodes/${root}${name}?view=stat`)).body.path,
        path,
        `${name}, read through the proxy`,
      );
    }
    const group = await http(`${url}/v1/groups/${root}%20%C3%BC%25/members`, 'POST', { topics: ['none'] });
    t.equal(group.status, 201, 'a group with such a name is created');
    t.equal((await http(`${brokerUrl}/v1/groups/${root}%20%C3%BC%25`)).status, 200);
    const topic = `${url}/v1/topics/keys-${root}`;
    await http(`${url}/v1/topics`, 'POST', { name: `keys-${root}` });
    await http(`${topic}/records?key=a%2Fb%20%C3%BC%2B%26`, 'POST', 'x', { 'weir-record-source': 'gr%C3%BCn' });
    const [record] = (await http(`${topic}/partitions/0/records`)).body.records;
    t.match(record, { key: 'a/b ü+&', value: 'x' }, 'a record with such a key in the query is read back');
  });

  await t.test('the server sees the address of the client and the origin of the page', async (t) => {
    // A session can be ended by its public id from this machine only, and the refusal names the remote address.
    const force = async (localAddress: string) => {
      const { body: session } = await http(`${brokerUrl}/v1/sessions`, 'POST', { ttl: '30s' });
      const claimed = { 'x-forwarded-for': '203.0.113.9' };
      return headOf(`${url}/v1/sessions/${session.id}?force=true`, 'DELETE', claimed, localAddress);
    };
    t.equal((await force('127.0.0.2')).status, 204, 'the proxy adds the address to what the client claims');
    const trusted = await force('127.0.0.1');
    if (program.dropsForwardedFor) t.equal(trusted.status, 204, 'the proxy drops what the client claims');
    else
      t.match(
        trusted,
        { status: 403, body: /the request comes from 203\.0\.113\.9/ },
        'a trusted proxy before this one',
      );
    t.equal((await http(node, 'PUT', text, { origin: url })).status, 200, 'a page of the same origin is accepted');
    t.equal((await http(node, 'PUT', text, { origin: 'http://elsewhere.example' })).status, 403);
  });
}

/** Reads through the proxy return the current state. */
export async function checkFreshness(t: Test, { url, brokerUrl }: Through): Promise<void> {
  await t.test('nothing is served from a cache', async (t) => {
    const node = '/v1/nodes/fresh';
    await http(`${brokerUrl}/v1/topics`, 'POST', { name: 'fresh' });
    const records = '/v1/topics/fresh/partitions/0/records';
    const { endOffset } = (await http(brokerUrl + records)).body;
    for (let count = 1; count <= 5; count++) {
      await http(brokerUrl + node, 'PUT', `${text}${count}`);
      await http(brokerUrl + records, 'POST', 'x');
      t.equal((await http(url + node)).body, `${text}${count}`);
      t.equal((await http(`${url}${records}?maxRecords=1`)).body.endOffset, endOffset + count);
    }
    t.match((await http(url + node)).headers.get('cache-control'), /no-cache/);
    t.match((await http(`${url}/v1/cluster`)).headers.get('cache-control'), /no-store/);
  });
}
