// The rules for the command line: its page has every command as it is.
import t from 'tap';
import { withReference } from '../../testbed/cli-reference.ts';
import { read } from './repository.ts';

t.test('docs/cli.md has every command with its options and examples', async (t) => {
  const page = read('docs/cli.md');
  t.ok(page === (await withReference(page)), 'docs/cli.md is out of date: run npm run cli:docs, and commit it');
});
