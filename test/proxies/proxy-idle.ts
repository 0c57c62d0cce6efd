// Long polls, event streams and WebSockets that are idle through a proxy for longer than its default time-outs.
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { openEventStream } from '../helpers/event-stream.ts';
import { http } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';
import { beginUpload } from './proxy-bodies.ts';
import { newTopic, type Through } from './proxy-suite.ts';

export async function checkIdleConnections(t: Test, through: Through, seconds: number): Promise<void> {
  const { url, brokerUrl, compression } = through;

  await t.test(
    `connections that are idle for ${seconds} s stay open`,
    { timeout: (seconds + 60) * 1000 },
    async (t) => {
      const topic = await newTopic(through, 'idle');
      // A group that had no members yet.
      const group = compression ? 'packed' : 'plain';
      const slow = await newTopic(through, `${group}-slow`);
      await http(`${brokerUrl}/v1/nodes/idle`, 'PUT', 'before');
      const tag = (await http(`${url}/v1/nodes/idle`)).headers.get('etag')!;
      const wait = `wait=${seconds}s`;

      const events = await openEventStream(t, `${url}/v1/watch/idle`);
      const records = await openEventStream(t, `${url}${topic}/stream?offset=latest`);
      const page = { origin: url };
      const watch = await openSocket(t, `${url}/v1/watch`, page);
      watch.send({ type: 'watch', id: 'w', path: '/idle', mode: 'node' });
      await watch.frame({ type: 'watching' });
      const tail = await openSocket(t, `${url}${topic}/stream?offset=latest`, page);
      tail.send({ type: 'credit', records: 10 });
      const member = await openSocket(t, `${url}/v1/groups/${group}/stream?topics=idle&reset=latest`, page);
      member.send({ type: 'credit', records: 10 });
      await member.frame({ type: 'joined' });
      const { body: joined } = await http(`${url}/v1/groups/${group}-waiting/members`, 'POST', {
        topics: ['idle'],
        reset: 'latest',
      });

      const upload = beginUpload(t, `${url}${slow}/records?results=end`);
      upload.sent.write('{"value":1}\n');

      const [unchanged, children, fetched, consumed] = await Promise.all([
        http(`${url}/v1/nodes/idle?${wait}`, 'GET', undefined, { 'if-none-match': tag }),
        http(`${url}/v1/nodes/idle?view=children&${wait}`, 'GET', undefined, { 'if-none-match': '*' }),
        http(`${url}${topic}/partitions/0/records?offset=latest&${wait}`),
        http(`${url}/v1/groups/${group}-waiting/members/${joined.memberId}/records?${wait}`),
      ]);
      t.equal(unchanged.status, 304, 'a long poll of a node ends after its own wait');
      t.equal(children.status, 304);
      t.match(fetched, { status: 200, body: { records: [] } }, 'a long fetch ends after its own wait');
      t.match(consumed, { status: 200, body: { records: [] } }, 'a long consume call ends after its own wait');

      await http(`${brokerUrl}/v1/nodes/idle`, 'PUT', 'after');
      await http(`${brokerUrl}${topic}/records`, 'POST', { records: [{ value: 'after' }] });
      await events.message(({ data }) => data.events?.[0]?.path === '/idle', 'the event on the event stream');
      await records.message(({ data }) => data.records?.[0]?.value === 'after', 'the record on the event stream');
      t.match(await watch.frame({ type: 'events' }), { events: [{ type: 'changed', path: '/idle' }] });
      t.match(await tail.frame({ type: 'records' }), { records: [{ value: 'after' }] });
      t.match(await member.frame({ type: 'records' }), { records: [{ value: 'after' }] });
      upload.sent.end('{"value":2}\n');
      const [response] = await upload.response;
      const results = (await text(response)).trim().split('\n');
      const counted = results.reduce((sum, line) => sum + JSON.parse(line).count, 0);
      t.match(
        { status: response.statusCode, counted },
        { status: 200, counted: 2 },
        'a body with a pause arrives completely',
      );
      const bookmarks = watch.frames.filter(({ type }) => type === 'bookmark').length;
      if (seconds >= 30) t.ok(bookmarks > 1, `${bookmarks} bookmarks`);
    },
  );
}
