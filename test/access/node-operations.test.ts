// The steps of a creation with parents.
import t from 'tap';
import { permittedWrite } from '../../src/access/node-operations.ts';

const callerOf = (may: (path: string) => boolean) => ({
  may: (_verb: string, _kind: string, path: string) => may(path),
  require: () => undefined,
});
const create = { op: 'create', path: '/a/b/c', parents: true };

t.test(
  'a creation with parents has as many steps without a policy as with any, so that it may be repeated',
  async (t) => {
    const stepsOf = (may: (path: string) => boolean) => permittedWrite(callerOf(may), create).steps;
    const withoutPolicy = stepsOf(() => true);
    t.same(withoutPolicy, [{ op: 'check', path: '/', exists: true }, create]);
    t.same(
      stepsOf((path) => path !== '/a'),
      [{ op: 'check', path: '/a', exists: true }, create],
    );
    t.same(
      stepsOf(() => false),
      [{ op: 'check', path: '/a/b', exists: true }, create],
    );
    t.equal(withoutPolicy.length, stepsOf(() => false).length);
  },
);

t.test('a creation without parents is one step', async (t) => {
  const { steps } = permittedWrite(
    callerOf(() => false),
    { op: 'create', path: '/a/b/c' },
  );
  t.same(steps, [{ op: 'create', path: '/a/b/c' }]);
});
