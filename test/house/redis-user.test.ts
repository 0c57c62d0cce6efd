// The user of Redis in operations.md: the one that tests use, with the commands that the scripts call.
import t from 'tap';
import { userCommands } from '../../testbed/certificates.ts';
import { luaOf, read, scripts } from './repository.ts';

const allowed = new Set(userCommands.split(' '));

t.test('operations.md gives the user of Redis the rights that tests use', async (t) => {
  const block = /^ACL SETUSER weir on >password ([^`]*)```/m.exec(read('docs/operations.md'))?.[1] ?? '';
  const [, keys = '', commands = ''] = /^(.* -@all) (.*)$/s.exec(block.split(/\s+/).join(' ').trim()) ?? [];
  t.same(commands.split(' '), [...allowed]);
  t.equal(keys, 'resetkeys ~{weir}:* ~{weir:* resetchannels &{weir}:appends &{weir}:removals -@all');
});

t.test('each command that a script calls is one of its rights', async (t) => {
  const called = new Set(
    scripts.flatMap((script) =>
      [...luaOf(script).matchAll(/(?:redis\.p?call\(|for_each\([^,()]+, )'([A-Za-z]+)'/g)].map(([, name = '']) =>
        name.toLowerCase(),
      ),
    ),
  );
  t.ok(called.size > 30, 'there are commands to look at');
  t.same([...called].filter((name) => !allowed.has(`+${name}`)).sort(), []);
});
