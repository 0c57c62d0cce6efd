// Rules of a policy: which verbs they give on which nodes and names.
import t from 'tap';
import { NameRules } from '../../src/access/name-rules.ts';
import { NodeRules, nodePatternProblem } from '../../src/access/node-rules.ts';
import { includes, setOf } from '../../src/access/verbs.ts';
import { chooseSeed, randomOf } from '../helpers/random.ts';

const read = setOf(['read']);
const write = setOf(['write']);

function nodeRules(rules: Record<string, number>): NodeRules {
  const compiled = new NodeRules();
  for (const [pattern, verbs] of Object.entries(rules)) compiled.add(pattern, verbs);
  return compiled;
}

t.test('a path without a wildcard stands for that node alone', async (t) => {
  const rules = nodeRules({ '/a/b': read });
  t.ok(rules.allows('read', '/a/b'));
  for (const path of ['/', '/a', '/a/b/c', '/a/bc', '/a/c']) t.notOk(rules.allows('read', path), path);
});

t.test('/a/* stands for one level', async (t) => {
  const rules = nodeRules({ '/a/*': read });
  t.ok(rules.allows('read', '/a/b'));
  for (const path of ['/', '/a', '/a/b/c', '/ab/c']) t.notOk(rules.allows('read', path), path);
});

t.test('/a/** stands for the node and all below it', async (t) => {
  const rules = nodeRules({ '/a/**': read });
  for (const path of ['/a', '/a/b', '/a/b/c/d']) t.ok(rules.allows('read', path), path);
  for (const path of ['/', '/ab', '/b/a']) t.notOk(rules.allows('read', path), path);
  t.ok(rules.allowsSubtree('read', '/a/b'));
  t.notOk(rules.allowsSubtree('read', '/'));
});

t.test('rules that are changed or of another identity decide anew, for any number of nodes', async (t) => {
  const [rules, others] = [nodeRules({ '/a/**': read }), nodeRules({ '/b/**': read })];
  for (let again = 0; again < 2; again += 1) {
    t.ok(rules.allows('read', '/a/x'));
    t.notOk(others.allows('read', '/a/x'));
  }
  t.notOk(rules.allows('write', '/a/x'));
  rules.add('/a/x', write);
  t.ok(rules.allows('write', '/a/x'));
  const long = `/a/${'x'.repeat(1000)}`;
  const decisions = Array.from({ length: 60_000 }, (_, n) => {
    const path = `/${n % 2 === 0 ? 'a' : 'b'}/${n % 25_000}`;
    return rules.allows('read', path) === (n % 2 === 0) && rules.allows('read', long);
  });
  t.ok(decisions.every(Boolean));
});

t.test('the root has patterns of its own', async (t) => {
  t.ok(nodeRules({ '/': read }).allows('read', '/'));
  t.notOk(nodeRules({ '/': read }).allows('read', '/a'));
  t.ok(nodeRules({ '/*': read }).allows('read', '/a'));
  t.notOk(nodeRules({ '/*': read }).allows('read', '/'));
  t.ok(nodeRules({ '/**': read }).allows('read', '/'));
  t.ok(nodeRules({ '/**': read }).allows('read', '/a/b'));
});

t.test('verbs of several rules are added up', async (t) => {
  const rules = nodeRules({ '/a/**': read, '/a/b': write, '/a/*': setOf(['delete']) });
  for (const verb of ['read', 'write', 'delete'] as const) t.ok(rules.allows(verb, '/a/b'), verb);
  t.notOk(rules.allows('write', '/a/c'));
  t.notOk(rules.allowsSubtree('write', '/a/b'), 'a grant of one node is none of what is below it');
});

t.test('decisions equal those of each rule by itself', async (t) => {
  const seed = chooseSeed();
  t.comment(`seed ${seed}`);
  const { below, pick } = randomOf(seed);
  const names = ['a', 'b', 'ab'];
  const path = () => `/${Array.from({ length: below(5) }, () => pick(names)).join('/')}`;
  for (let round = 0; round < 300; round += 1) {
    const rules = Array.from({ length: below(7) }, () => {
      const base = path();
      const end = pick(['', '/*', '/**']);
      return { pattern: base === '/' ? end || '/' : base + end, verbs: pick([read, write, read | write]) };
    });
    const compiled = new NodeRules();
    for (const { pattern, verbs } of rules) compiled.add(pattern, verbs);
    const asked = path();
    const matches = (pattern: string) => {
      if (pattern.endsWith('/**'))
        return asked === (pattern.slice(0, -3) || '/') || asked.startsWith(pattern.slice(0, -2));
      if (pattern.endsWith('/*')) {
        const base = pattern.slice(0, -1);
        return asked.length > base.length && asked.startsWith(base) && !asked.slice(base.length).includes('/');
      }
      return asked === pattern;
    };
    for (const verb of ['read', 'write'] as const) {
      const expected = rules.some(({ pattern, verbs }) => includes(verbs, verb) && matches(pattern));
      t.equal(compiled.allows(verb, asked), expected, `${verb} ${asked} by ${JSON.stringify(rules)}`);
    }
  }
});

t.test('patterns that could be misread are refused', async (t) => {
  for (const good of ['/', '/*', '/**', '/a', '/a/*', '/a/**', '/a.b/$identity/**']) {
    t.equal(nodePatternProblem(good), undefined, good);
  }
  for (const bad of ['', 'a', '/a/', '//a', '/a/*/b', '/a/b*', '/a/***', '/a/../b', '/**/a']) {
    t.type(nodePatternProblem(bad), 'string', bad);
  }
});

t.test('* in a name stands for any text', async (t) => {
  const rules = new NameRules();
  rules.add('billing.*', read);
  rules.add('*-log', write);
  rules.add('a*b*c', read);
  rules.add('exact', read);
  const verbsOf = (name: string) => rules.on(name);
  t.equal(verbsOf('billing.x'), read);
  t.equal(verbsOf('billing.'), read);
  t.equal(verbsOf('billing'), 0);
  t.equal(verbsOf('billing.x-log'), read | write);
  t.equal(verbsOf('abc'), read);
  t.equal(verbsOf('aXbXc'), read);
  t.equal(verbsOf('acb'), 0);
  t.equal(verbsOf('exact'), read);
  t.equal(verbsOf('exactly'), 0);
  t.equal(verbsOf('billing.x'), read, 'the same from the cache');
});

t.test('a part of a pattern does not match the same text twice', async (t) => {
  const rules = new NameRules();
  rules.add('ab*ba', read);
  t.equal(rules.on('aba'), 0);
  t.equal(rules.on('abba'), read);
});
