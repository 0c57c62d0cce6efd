// Results of validation that are kept for the same query.
import t from 'tap';
import { z } from 'zod';
import { schemaController } from '../../../src/http/plugins/validation.ts';

type Validate = (query: object) => { value?: Record<string, unknown>; error?: Error };

function validatorOf(schema: z.ZodType): Validate {
  const compile = schemaController.compilersFactory?.buildValidator?.({}, {}) as unknown as (route: object) => Validate;
  return compile({ schema, httpPart: 'querystring' });
}

t.test('a query is validated once, and requests cannot change what they share', async (t) => {
  let calls = 0;
  const schema = z.strictObject({
    names: z
      .string()
      .transform((text) => {
        calls += 1;
        return text.split(',');
      })
      .optional(),
  });
  const validate = validatorOf(schema);
  const before = calls;
  const first = validate({ names: 'a,b' });
  t.same(first, { value: { names: ['a', 'b'] } });
  t.equal(validate({ names: 'a,b' }), first);
  t.equal(calls, before + 1);
  const { value } = first as { value: { names: string[] } };
  t.throws(() => Object.assign(value, { names: [] }), TypeError);
  t.throws(() => value.names.push('c'), TypeError);
  t.same(validate({}), { value: {} });
});

t.test('queries that differ in where a text ends are different queries', async (t) => {
  const validate = validatorOf(z.looseObject({}));
  const queries = [
    { a: 'b', c: 'd' },
    { a: 'bc', d: '' },
    { ab: '', c: 'd' },
    { a: 'b&c=d' },
    { a: '1 1 c' },
    { a1: '1 c' },
  ];
  for (const query of queries) t.same(validate(query).value, query);
  for (const query of queries) t.same(validate(query).value, query, 'again');
});

t.test('long queries, repeated names and any number of different queries are validated as the first one', async (t) => {
  const validate = validatorOf(z.strictObject({ n: z.union([z.string(), z.array(z.string())]) }));
  for (const n of ['x'.repeat(1000), ['a', 'b']]) {
    t.same(validate({ n }).value, { n });
    t.not(validate({ n }), validate({ n }), 'it is not kept');
  }
  const first = validate({ n: '0' });
  for (let n = 1; n < 1000; n += 1) t.same(validate({ n: String(n) }).value, { n: String(n) });
  t.not(validate({ n: '0' }), first, 'only some are kept');
  t.same(validate({ n: '0' }), first);
  for (let again = 0; again < 2; again += 1) t.match(validate({ m: '1' }).error?.message, /'m'/);
});
