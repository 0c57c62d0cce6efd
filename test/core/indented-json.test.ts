import fc from 'fast-check';
import t from 'tap';
import { indentedJson } from '../../src/core/indented-json.ts';

t.test('indented JSON is what JSON.stringify would indent', async () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      return indentedJson(JSON.stringify(value)) === JSON.stringify(value, null, 2);
    }),
  );
});

t.test('spaces of the text are replaced, and numbers and strings kept', async (t) => {
  const text = ' { "a" :\t[ ] , "b" : 1.50e+2,\n"c":"x \\" , \\\\" ,"d":[ 1 ,2] , "e":{\n} } ';
  t.equal(
    indentedJson(text),
    '{\n  "a": [],\n  "b": 1.50e+2,\n  "c": "x \\" , \\\\",\n  "d": [\n    1,\n    2\n  ],\n  "e": {}\n}',
  );
});

t.test('deep levels stay on one line, so that the result is not mostly spaces', async (t) => {
  const depth = 500;
  const text = `${'['.repeat(depth)}${'1,'.repeat(1000)}1${']'.repeat(depth)}`;
  const indented = indentedJson(text);
  t.ok(indented.length < text.length + 1000, `${indented.length} characters of ${text.length}`);
  t.same(JSON.parse(indented), JSON.parse(text));
});
