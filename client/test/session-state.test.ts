// What a client knows of a session by the clock alone. Renewals that were sent long ago stand for time that has passed.
import t from 'tap';
import { eventually } from '../../test/helpers/server.ts';
import type { ClientEvent } from '../src/index.ts';
import { SessionState } from '../src/session-state.ts';

const ttlMs = 600_000;
/** When a fifth of the time to live is left, which is two minutes. */
const signalAfterMs = 480_000;

/** A session whose creation was sent so long ago. */
function sessionSentAgo(ms: number): { session: SessionState; heard: ClientEvent[] } {
  const heard: ClientEvent[] = [];
  const granted = { id: 'session-1', session: 'handle', ttlMs };
  return { session: new SessionState(granted, performance.now() - ms, (event) => heard.push(event)), heard };
}

t.test(
  'the signal is aborted when a fifth of the time to live is left, and the session is suspended then',
  async (t) => {
    const { session, heard } = sessionSentAgo(signalAfterMs - 200);
    t.equal(session.state, 'connected');
    t.notOk(session.signal.aborted);
    const { signal } = session;
    await eventually(() => signal.aborted, 'it is aborted');
    t.ok(performance.now() < session.deadline, 'before the session can have ended');
    t.equal(session.state, 'suspended');
    t.match(signal.reason, { code: 'SESSION_EXPIRED' });
    session.renewed(performance.now());
    t.equal(session.state, 'connected');
    t.ok(signal.aborted && !session.signal.aborted, 'what was stopped stays stopped, and there is a new signal');
    t.same(
      heard.flatMap((event) => (event.type === 'session' ? event.state : [])),
      ['connected', 'suspended', 'connected'],
    );
    session.lose(signal.reason);
  },
);

t.test('a renewal counts from the time at which it was sent', async (t) => {
  const { session } = sessionSentAgo(signalAfterMs - 200);
  const { signal, deadline } = session;
  session.renewed(performance.now() - signalAfterMs - 1);
  t.ok(session.deadline <= deadline, 'one that was sent before moves nothing');
  await eventually(() => signal.aborted, 'the response to a renewal that took too long does not help');
  session.renewed(performance.now() - signalAfterMs - 1);
  t.equal(session.state, 'suspended');
  session.renewed(performance.now());
  t.equal(session.state, 'connected');
  session.lose(signal.reason);
});

t.test('a session that is lost stays lost', async (t) => {
  const { session } = sessionSentAgo(0);
  const { signal } = session;
  const states: string[] = [];
  session.onState((state) => states.push(state));
  session.suspended();
  session.lose(new Error('gone') as never);
  session.renewed(performance.now());
  session.suspended();
  t.same(states, ['suspended', 'lost']);
  t.ok(signal.aborted && session.signal.aborted);
});
