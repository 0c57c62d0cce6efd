// The messages of matched events, without a store.
import t from 'tap';
import { matchOne, matchTransaction } from '../../../src/broker/watches/watch-match.ts';
import type { NodeEvent } from '../../../src/store/tree/node-codec.ts';

const event = {
  kind: 'changed',
  path: '/a',
  stat: {},
  contentType: undefined,
  data: undefined,
} as unknown as NodeEvent;
const matched = () => {
  const match = matchOne({ zxid: 7, events: [event], bytes: 1 }, { path: '/a', interest: 'node', data: false });
  if (!match) throw new Error('The event was not matched');
  return match;
};
const form = (key: string, made: string[]) => ({
  key,
  make: (zxid: number, events: string) => {
    made.push(key);
    return Buffer.from(`${key} ${zxid} ${events}`);
  },
});

t.test('a message is made once for all clients that are sent the same', async (t) => {
  const made: string[] = [];
  const match = matched();
  const message = match.message(form('a', made));
  t.equal(String(message), 'a 7 [{"type":"changed","path":"/a","stat":{}}]');
  t.equal(match.message(form('a', made)), message);
  t.match(String(match.message(form('b', made))), /^b 7 /);
  t.strictSame(made, ['a', 'b']);
});

t.test('of many different messages for the same events only the first few are kept', async (t) => {
  const made: string[] = [];
  const match = matched();
  for (let round = 0; round < 2; round++) for (let n = 0; n < 100; n++) match.message(form(`${n}`, made));
  t.equal(made.length, 192);
});

t.test(
  'clients whose policies show the same of a transaction share its message, and others have their own',
  async (t) => {
    const events = ['/a/open', '/a/secret'].map((path) => ({ ...event, path }));
    const seeing = (mayRead: (path: string) => boolean, data = false) =>
      ({ path: '/a', interest: 'recursive', data, mayRead }) as const;
    const subscriptions = [
      seeing(() => true),
      seeing(() => true),
      seeing((path) => path !== '/a/secret'),
      seeing((path) => path.startsWith('/a/o')),
      seeing(() => true, true),
      seeing(() => false),
    ];
    const found = matchTransaction({ zxid: 7, events, bytes: 1 }, (path) =>
      path === '/a' ? subscriptions : undefined,
    );
    const messages = subscriptions.map((each) => found.get(each)?.message(form('a', [])));
    const [all, same, part, samePart, withData, none] = messages;
    t.equal(same, all);
    t.equal(samePart, part);
    t.notMatch(String(part), /secret/);
    t.match(String(all), /secret/);
    t.not(withData, all, 'the same events with their data');
    t.equal(none, undefined);
  },
);
