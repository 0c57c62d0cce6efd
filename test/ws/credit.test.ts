import t from 'tap';
import { Credit } from '../../src/ws/credit.ts';

/** A socket that has room, until the test says otherwise. */
function socketWithRoom() {
  return {
    isOpen: true,
    waiting: undefined as Promise<void> | undefined,
    room() {
      return this.waiting;
    },
  };
}

/** Whether a promise is settled once all other work of this turn is done. */
async function isSettled(promise: Promise<void> | undefined): Promise<boolean> {
  return Promise.race([Promise.resolve(promise).then(() => true), new Promise<false>((no) => setImmediate(no, false))]);
}

t.test('a reader waits until there is credit, which it then uses up', async (t) => {
  const credit = new Credit(socketWithRoom());
  t.equal(credit.credit(), 0);
  const waits = [credit.room(), credit.room()];
  t.notOk((await Promise.all(waits.map(isSettled))).some((settled) => settled));
  credit.add(3);
  t.same(await Promise.all(waits.map(isSettled)), [true, true], 'all that wait are woken');
  t.equal(credit.room(), undefined);
  credit.add(2);
  credit.take(4);
  t.equal(credit.credit(), 1);
  t.equal(credit.room(), undefined);
  credit.take(1);
  t.notOk(await isSettled(credit.room()), 'it waits again');
});

t.test('with credit, a reader waits for the room of the socket', async (t) => {
  const socket = socketWithRoom();
  const credit = new Credit(socket);
  credit.add(1);
  socket.waiting = new Promise(() => undefined);
  t.equal(credit.room(), socket.waiting);
});

t.test('nothing waits for the credit of a closed socket', async (t) => {
  const socket = socketWithRoom();
  const credit = new Credit(socket);
  const wait = credit.room();
  socket.isOpen = false;
  credit.wake();
  t.ok(await isSettled(wait));
  t.equal(credit.room(), undefined);
});
