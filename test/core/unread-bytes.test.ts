// The limit on what waits for all readers: who is cut off, and what is counted.
import t from 'tap';
import { SharedLimit } from '../../src/core/shared-limit.ts';
import { UnreadBytes } from '../../src/core/unread-bytes.ts';

function accounts(max: number) {
  const cut: string[] = [];
  const clients: string[] = [];
  const limit = new SharedLimit(max, 0.5);
  const all = new UnreadBytes(limit, (client) => clients.push(client));
  const reader = (client: string, name: string) => all.of(client, () => cut.push(name));
  return { cut, clients, limit, reader };
}

t.test(
  'over the limit, the client with most unread bytes loses the reader that has read nothing for longest',
  async (t) => {
    const { cut, clients, limit, reader } = accounts(100);
    const [idle, moving, other] = [reader('a', 'idle'), reader('a', 'moving'), reader('b', 'other')];
    moving.add(30);
    idle.add(45);
    other.add(20);
    moving.taken(10);
    t.equal(limit.used, 85);
    other.add(16);
    t.same(cut, ['idle'], 'not who takes something, nor who has asked for room');
    t.same(clients, ['a']);
    t.equal(limit.used, 56);
  },
);

t.test('the unread bytes of a closed reader no longer count, and its later reports are ignored', async (t) => {
  const { cut, limit, reader } = accounts(100);
  const [one, two] = [reader('a', 'one'), reader('a', 'two')];
  one.add(60);
  two.add(60);
  t.same(cut, ['one']);
  one.taken(60);
  one.add(5);
  one.close();
  t.equal(limit.used, 60);
  two.taken(60);
  t.equal(limit.used, 0);
  two.close();
  t.equal(limit.heldBy('a'), 0);
});

t.test('a single reader that exceeds the limit is disconnected', async (t) => {
  const { cut, limit, reader } = accounts(100);
  reader('a', 'huge').add(101);
  t.same(cut, ['huge']);
  t.equal(limit.used, 0);
});
