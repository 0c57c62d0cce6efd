import t from 'tap';
import { alternativesProblem } from '../../src/core/alternatives.ts';

t.test('the problem says whether none or several of the alternatives were given', async (t) => {
  t.equal(alternativesProblem({ a: undefined, b: 0 }), undefined);
  t.equal(alternativesProblem({ a: undefined, b: undefined }), 'Neither a nor b was sent. Send a or b.');
  t.equal(alternativesProblem({ a: null, b: '' }), 'a and b were sent. Send only one of them.');
  t.equal(alternativesProblem({ a: undefined, b: undefined, c: undefined }), 'None was sent. Send one of a, b and c.');
  t.equal(alternativesProblem({ a: 1, b: undefined, c: 1 }), 'a and c were sent. Send only one of them.');
});
