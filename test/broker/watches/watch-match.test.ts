// The messages of matched events, without a store.
import t from 'tap';
import { matchOne } from '../../../src/broker/watches/watch-match.ts';
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
