import t from 'tap';
import type { z } from 'zod';
import { heartbeatBody } from '../../schemas/groups.ts';
import { getNodeQuery } from '../../schemas/nodes.ts';
import { fetchQuery, offsetsQuery } from '../../schemas/records.ts';
import { createTopicBody } from '../../schemas/topics.ts';
import { describeIssues, parseInput } from '../../src/core/issues.ts';

const said = (schema: z.ZodType, input: unknown, where: string) => {
  const { error } = schema.safeParse(input, parseInput);
  return error ? describeIssues(error, where) : '';
};

t.test('what is wrong is said with its place, its value and what would be right', async (t) => {
  t.equal(
    said(getNodeQuery, { limit: 'ten' }, 'query'),
    'query.limit: must be a whole number of at most 16 digits, not "ten".',
  );
  t.match(said(getNodeQuery, { limit: '0' }, 'query'), /^query\.limit: .*>=1, not 0\.$/);
  t.match(said(getNodeQuery, { wait: 'soon' }, 'query'), /^query\.wait: must be a duration such as .*, not "soon"\.$/);
  t.match(said(fetchQuery, { offset: 'middle' }, 'query'), /offset: must be earliest, latest or .*, not "middle"\.$/);
  t.match(said(offsetsQuery, { at: 'noon' }, 'query'), /^query\.at: must be earliest, latest or .*, not "noon"\.$/);
  t.match(said(createTopicBody, { name: 'a', partitions: 1.5 }, 'body'), /^body\.partitions: .*, not 1\.5\.$/);
  t.match(said(createTopicBody, { name: 'a', config: { 'retention.ms': true } }, 'body'), /must be .*, not true\.$/);
});

t.test('what is missing, unknown or given twice is said so', async (t) => {
  t.equal(said(createTopicBody, {}, 'body'), 'body.name: is missing.');
  t.equal(said(createTopicBody, { name: 'a', color: 1 }, 'body'), "unknown field 'color' in body.");
  t.equal(said(getNodeQuery, { limit: ['1', '2'] }, 'query'), 'query.limit: is given 2 times, not once.');
});

t.test('of what is long or secret little is shown', async (t) => {
  t.ok(said(getNodeQuery, { limit: 'x'.repeat(10_000) }, 'query').length < 200);
  const handle = `${'0123456789abcdef'}.${'A'.repeat(22)}`;
  t.notMatch(said(getNodeQuery, { limit: handle }, 'query'), /AAAA/);
  const unknown = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`a${n}`, '']));
  t.match(said(getNodeQuery, unknown, 'query'), /^unknown fields 'a0', .*'a9' and 1990 more in query\.$/);
  t.notMatch(said(heartbeatBody, { memberEpoch: { a: 1 } }, 'body'), /\[object/);
});
