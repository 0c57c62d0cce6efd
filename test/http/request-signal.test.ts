// The signal of a waiting request: it is aborted when its client disconnects or the broker stops, and leaves no listeners behind.
import { getEventListeners } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import t from 'tap';
import { RequestSignals } from '../../src/http/request-signal.ts';
import { http, startTestServer } from '../helpers/server.ts';

/** A request whose client is connected, with a function that disconnects it. */
async function response(t: { teardown(end: () => void): void }): Promise<{ response: ServerResponse; cut(): void }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.teardown(() => {
    client.destroy();
    server.close();
  });
  client.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const serverResponse = await new Promise<ServerResponse>((resolve) =>
    server.once('request', (_request, res) => resolve(res)),
  );
  return { response: serverResponse, cut: () => client.destroy() };
}

/** Settles when the signal is aborted. */
const aborted = (signal: AbortSignal) =>
  new Promise<string>((resolve) => {
    if (signal.aborted) resolve('aborted');
    signal.addEventListener('abort', () => resolve('aborted'));
  });

t.test('the signal is aborted when the client disconnects', async (t) => {
  const signals = new RequestSignals(new AbortController().signal);
  const { response: serverResponse, cut } = await response(t);
  const waiting = signals.run(serverResponse, aborted);
  cut();
  t.equal(await waiting, 'aborted');
  t.equal(signals.size, 0, 'no signal is left');
});

t.test('the signal is aborted when the broker ends all waits, and at once if it has already done so', async (t) => {
  const stopping = new AbortController();
  const signals = new RequestSignals(stopping.signal);
  const { response: serverResponse } = await response(t);
  const waiting = signals.run(serverResponse, aborted);
  stopping.abort();
  t.equal(await waiting, 'aborted');
  t.equal(await signals.run(serverResponse, aborted), 'aborted');
  t.equal(signals.size, 0, 'no signal is left');
});

t.test('work that returns or fails leaves no listener', async (t) => {
  const stopping = new AbortController();
  const signals = new RequestSignals(stopping.signal);
  const { response: serverResponse } = await response(t);
  const listeners = serverResponse.listenerCount('close');
  t.equal(await signals.run(serverResponse, async () => 1), 1);
  await t.rejects(
    signals.run(serverResponse, async () => {
      throw new Error('it failed');
    }),
    { message: 'it failed' },
  );
  t.equal(signals.size, 0, 'no signal is left');
  t.equal(serverResponse.listenerCount('close'), listeners, 'nor a listener on the response');
  t.equal(getEventListeners(stopping.signal, 'abort').length, 1, 'the broker has one listener, whatever was asked');
});

t.test(
  'fetches, consume calls and long polls leave no listener on objects that live as long as the broker',
  async (t) => {
    const { url, broker } = await startTestServer(t);
    await http(`${url}/v1/topics`, 'POST', { name: 'a', partitions: 1 });
    const { body: member } = await http(`${url}/v1/groups/g/members`, 'POST', { memberId: 'm', topics: ['a'] });
    const headers = member.memberSecret ? { 'weir-member': member.memberSecret } : {};
    const before = getEventListeners(broker.stopping, 'abort').length;
    const calls = [
      '/v1/topics/a/partitions/0/records?offset=latest&wait=1',
      '/v1/groups/g/members/m/records?wait=1',
      '/v1/nodes/consumers/g?wait=1',
    ];
    for (const call of calls) {
      for (let n = 0; n < 20; n++) await http(`${url}${call}`, 'GET', undefined, { ...headers, 'if-none-match': '*' });
    }
    t.equal(getEventListeners(broker.stopping, 'abort').length, before);
  },
);
