import t from 'tap';
import { groupServerFrame } from '../../schemas/group-stream.ts';
import { topicTailEvent, topicTailServerFrame } from '../../schemas/topic-tail.ts';
import { serverFrame, streamFrame } from '../../schemas/watch.ts';
import { frameJson } from '../../src/core/frame-json.ts';

const record = { offset: 7, timestamp: 1, value: 'a "b"' };
const event = { path: '/a', type: 'deleted' };

t.test('a frame with a part that is JSON text equals a frame with the part as an object', async (t) => {
  const records = JSON.stringify([record]);
  const events = JSON.stringify([event]);
  const cases = [
    { schema: serverFrame, frame: { type: 'events', id: 'w"1', zxid: 5 }, parts: { events } },
    { schema: streamFrame, frame: { type: 'events', zxid: 5 }, parts: { events } },
    { schema: topicTailEvent, frame: { type: 'records', partition: 3 }, parts: { records } },
    { schema: topicTailServerFrame, frame: { type: 'records', partition: 3, position: '3:8' }, parts: { records } },
    {
      schema: groupServerFrame,
      frame: { type: 'records', topic: 't', partition: 3, nextOffset: 8 },
      parts: { records },
    },
  ];
  for (const { schema, frame, parts } of cases) {
    const parsed = JSON.parse(frameJson<Record<string, unknown>, string>(frame, parts));
    t.strictSame(Object.keys(parsed), [...Object.keys(frame), ...Object.keys(parts)]);
    t.strictSame(schema.parse(parsed), parsed);
    for (const [name, json] of Object.entries(parts)) t.strictSame(parsed[name], JSON.parse(json as string));
  }
});

t.test('a frame can consist of parts that are JSON text only', async (t) => {
  t.equal(frameJson<{ a: number[]; b: string }, 'a' | 'b'>({}, { a: '[1]', b: '"x"' }), '{"a":[1],"b":"x"}');
});
