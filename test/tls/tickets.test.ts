// Session tickets: a client resumes its session by any worker, for a time.
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { TicketKeys } from '../../src/tls/ticket-keys.ts';
import { makeTlsFiles } from '../helpers/tls.ts';
import { startWorkers } from '../helpers/workers.ts';

const hourMs = 3_600_000;

t.test('processes with one seed have the same keys, and others in the next period', async (t) => {
  let now = 1000 * hourMs;
  const clock = () => now;
  const primary = new TicketKeys(undefined, clock);
  const worker = new TicketKeys(primary.seed, clock);
  const first = primary.keysFor('ca');
  t.equal(first.length, 48);
  t.same(worker.keysFor('ca'), first);
  t.notSame(worker.keysFor('another ca'), first, 'a withdrawn authority takes the tickets with it');
  t.notOk(worker.advance(), 'the period goes on');
  now += 30 * hourMs;
  t.ok(worker.advance());
  t.notOk(worker.advance(), 'once');
  const late = new TicketKeys(primary.seed, clock);
  for (const each of [worker, late]) t.same(each.keysFor('ca'), primary.keysFor('ca'));
  t.notSame(primary.keysFor('ca'), first);
  now -= 30 * hourMs;
  t.notOk(worker.advance(), 'a clock that was set back changes nothing');
  t.notSame(new TicketKeys(undefined, clock).keysFor('ca'), new TicketKeys(undefined, clock).keysFor('ca'));
});

t.test('a client resumes its session, whichever worker serves it', async (t) => {
  const files = await makeTlsFiles(t);
  const server = await startWorkers(t, { WEIR_TLS_CERT: files.config.tlsCert, WEIR_TLS_KEY: files.config.tlsKey });
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const open = async (session?: Buffer): Promise<{ socket: TLSSocket; ticket: Buffer }> => {
      const { port } = new URL(server.url);
      const socket = connect({
        port: Number(port),
        host: '127.0.0.1',
        ca: files.authority.cert,
        maxVersion: version,
        minVersion: version,
        ...(session && { session }),
      });
      t.teardown(() => socket.destroy());
      const ticket = once(socket, 'session');
      await once(socket, 'secureConnect');
      socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const [[first]] = await Promise.all([session ? [session] : ticket, once(socket, 'data')]);
      return { socket, ticket: first };
    };
    const { socket, ticket } = await open();
    t.notOk(socket.isSessionReused());
    // Connections reach the workers in turn.
    for (let i = 0; i < 6; i += 1) t.ok((await open(ticket)).socket.isSessionReused(), `${version}, connection ${i}`);
  }
});
