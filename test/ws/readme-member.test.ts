// Runs the browser member of README.md unchanged: when it joins again, and when it stops.
import t from 'tap';
import WebSocket from 'ws';
import { joined } from '../helpers/group-sockets.ts';
import { createTopic, produce } from '../helpers/groups.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';
import { read } from '../house/repository.ts';

const [, example = ''] = /```js\n([^`]*function consume\(\)[\s\S]*?)```/.exec(read('README.md')) ?? [];

t.test(
  'the member reads and commits, reconnects after a lost connection, and stops when it is superseded',
  async (t) => {
    const server = await startTestServer(t);
    await createTopic(server.url, 'clicks', 1);
    const sockets: WebSocket[] = [];
    const given: unknown[] = [];
    const errors: string[] = [];
    let returns = 0;
    let isClosed = false;
    class BrowserSocket extends WebSocket {
      constructor(url: string) {
        super(url.replace('ws://localhost:7070', server.url.replace('http', 'ws')));
        sockets.push(this);
      }
    }
    const page = {
      WebSocket: BrowserSocket,
      crypto: { randomUUID: () => 'page' },
      console: { log: (value: unknown) => given.push(value), error: (text: string) => errors.push(text) },
      setTimeout: (again: () => void) => {
        if (isClosed) return;
        returns += 1;
        again();
      },
    };
    t.teardown(() => {
      isClosed = true;
      for (const socket of sockets) socket.terminate();
    });
    new Function(...Object.keys(page), example)(...Object.values(page));
    const committed = async () => (await http(`${server.url}/v1/groups/stats`)).body.partitions?.[0]?.committed;
    await produce(server.url, 'clicks', 0, ['a', 'b']);
    await eventually(async () => (await committed()) === 2, 'both records are committed');
    await eventually(() => sockets[0]?.readyState === WebSocket.OPEN, 'the socket is open');
    sockets[0]!.terminate();
    await produce(server.url, 'clicks', 0, ['c']);
    await eventually(async () => (await committed()) === 3, 'the member reads and commits further records');
    t.same(given, ['a', 'b', 'c']);
    t.equal(returns, 1);

    // As if an operator had removed the member.
    const members = `${server.url}/v1/groups/stats/members`;
    t.equal((await http(`${members}/page`, 'DELETE')).status, 204);
    await eventually(() => returns === 2, 'the member joins again');
    await produce(server.url, 'clicks', 0, ['d']);
    await eventually(async () => (await committed()) === 4, 'the member reads and commits further records');

    await joined(await openSocket(t, `${server.url}/v1/groups/stats/stream?topics=clicks&memberId=page`));
    await eventually(() => errors.length > 0, 'the member gets the error');
    t.same(errors, ['over: MEMBER_SUPERSEDED']);
    t.equal(returns, 2, 'the member does not join again');
  },
);
