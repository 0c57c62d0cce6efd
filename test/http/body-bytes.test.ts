// The limit on bytes of request bodies in memory, which clients share.
import t from 'tap';
import { BodyBytes } from '../../src/http/body-bytes.ts';

function bodyOf(clientKey: string) {
  const body = {
    clientKey,
    bytes: 0,
    isArriving: true,
    isGivenUp: false,
    giveUp() {
      body.isGivenUp = true;
    },
  };
  return body;
}

t.test('a client alone may have one body of any size; a further body that does not fit is refused', async (t) => {
  const bytes = new BodyBytes(100);
  const first = bodyOf('a');
  t.ok(bytes.add(first, 1000));
  t.notOk(bytes.add(bodyOf('a'), 1));
  bytes.remove(first);
  bytes.remove(first);
  t.equal(bytes.used, 0);
  t.ok(bytes.add(bodyOf('a'), 100));
});

t.test(
  'bodies that are still arriving are refused, of the client with most bytes, to make room for a client with fewer',
  async (t) => {
    const bytes = new BodyBytes(100);
    const bodies = Array.from({ length: 10 }, () => bodyOf('greedy'));
    for (const body of bodies) t.ok(bytes.add(body, 10));
    bodies[0]!.isArriving = false;
    t.ok(bytes.add(bodyOf('b'), 30));
    t.same(
      bodies.map(({ isGivenUp }) => isGivenUp),
      [false, true, true, true, false, false, false, false, false, false],
      'complete bodies are processed',
    );
    t.equal(bytes.used, 100);
    t.notOk(bytes.add(bodyOf('greedy'), 1), 'it gets no more itself');
    t.ok(bytes.add(bodyOf('c'), 25));
    t.notOk(bytes.add(bodyOf('d'), 60), 'no body is refused to make room for a client that would have more');
  },
);

t.test('complete bodies are not refused to make room', async (t) => {
  const bytes = new BodyBytes(100);
  const body = bodyOf('a');
  t.ok(bytes.add(body, 100));
  body.isArriving = false;
  t.notOk(bytes.add(bodyOf('b'), 10));
  t.notOk(body.isGivenUp);
});
