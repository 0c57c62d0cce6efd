import t from 'tap';
import type { z } from 'zod';
import { noQuery } from '../../schemas/common.ts';
import { heartbeatBody } from '../../schemas/groups.ts';
import { getNodeQuery, multiBody } from '../../schemas/nodes.ts';
import { createProducerBody } from '../../schemas/producers.ts';
import { fetchQuery, offsetsQuery } from '../../schemas/records.ts';
import { createTopicBody } from '../../schemas/topics.ts';
import { describeIssues, parseOptions } from '../../src/core/issues.ts';

const said = (schema: z.ZodType, input: unknown, where: string) => {
  const { error } = schema.safeParse(input, parseOptions);
  return error ? describeIssues(error, where) : '';
};

t.test('an error names the place, the value and what is valid', async (t) => {
  t.equal(
    said(getNodeQuery, { limit: 'ten' }, 'query'),
    'query.limit: must be a whole number of at most 16 digits, not "ten".',
  );
  t.match(said(getNodeQuery, { limit: '0' }, 'query'), /^query\.limit: must be at least 1, not 0\.$/);
  t.match(said(getNodeQuery, { wait: 'soon' }, 'query'), /^query\.wait: must be a duration such as .*, not "soon"\.$/);
  t.match(said(fetchQuery, { offset: 'middle' }, 'query'), /offset: must be earliest, latest or .*, not "middle"\.$/);
  t.match(said(offsetsQuery, { at: 'noon' }, 'query'), /^query\.at: must be earliest, latest or .*, not "noon"\.$/);
  t.match(said(createTopicBody, { name: 'a', partitions: 1.5 }, 'body'), /^body\.partitions: .*, not 1\.5\.$/);
  t.match(said(createTopicBody, { name: 'a', config: { 'retention.ms': true } }, 'body'), /must be .*, not true\.$/);
});

t.test('an error does not use words of the validation library', async (t) => {
  t.equal(
    said(getNodeQuery, { view: 'child' }, 'query'),
    'query.view: must be one of data, node, stat, children, tree, export, not "child".',
  );
  t.equal(said(createTopicBody, { name: 1 }, 'body'), 'body.name: must be a string, not 1.');
  t.equal(said(createTopicBody, [], 'body'), 'body: must be an object.');
  t.equal(said(createProducerBody, { name: '' }, 'body'), 'body.name: must have at least 1 character, not "".');
  const multi = (op: unknown) => said(multiBody, { ops: [op] }, 'body');
  t.equal(multi({ op: 'put', path: '/' }), 'body.ops.0.op: must be one of create, set, delete, check, not "put".');
  t.equal(multi({ path: '/' }), 'body.ops.0.op: is missing; it must be one of create, set, delete, check.');
  t.equal(multi({ op: 'set', path: '/', dataBase64: '%' }), 'body.ops.0.dataBase64: must be base64, not "%".');
  t.equal(
    multi({ op: 'delete', path: '/', data: '' }),
    "unknown field 'data' in body.ops.0 (it takes op, path, version, mzxid).",
  );
});

t.test('each place has one error, which contains no number that was not sent', async (t) => {
  const check = { op: 'check', path: '/', version: JSON.parse('9007199254740993') };
  t.equal(
    said(multiBody, { ops: [check] }, 'body'),
    'body.ops.0.version: must be at most 2147483647, not a number beyond 2^53-1.',
  );
});

t.test('missing, unknown and repeated fields are named', async (t) => {
  t.equal(said(createTopicBody, {}, 'body'), 'body.name: is missing.');
  t.equal(
    said(createTopicBody, { name: 'a', color: 1 }, 'body'),
    "unknown field 'color' in body (it takes name, partitions, replicationFactor, config).",
  );
  t.equal(said(noQuery, { verbose: '' }, 'query'), "unknown field 'verbose' in query (it takes none).");
  t.equal(said(createTopicBody, null, 'body'), 'body: is missing.', 'also where there is no body at all');
  t.equal(said(getNodeQuery, { limit: ['1', '2'] }, 'query'), 'query.limit: is given 2 times, not once.');
});

t.test('long values are shortened and secret ones hidden', async (t) => {
  t.ok(said(getNodeQuery, { limit: 'x'.repeat(10_000) }, 'query').length < 200);
  const handle = `${'0123456789abcdef'}.${'A'.repeat(22)}`;
  t.notMatch(said(getNodeQuery, { limit: handle }, 'query'), /AAAA/);
  const unknown = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`a${n}`, '']));
  t.match(
    said(getNodeQuery, unknown, 'query'),
    /^unknown fields 'a0', .*'a9' and 1990 more in query \(it takes .*\)\.$/,
  );
  t.notMatch(said(heartbeatBody, { memberEpoch: { a: 1 } }, 'body'), /\[object/);
});
