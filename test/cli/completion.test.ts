// Completion in the shells that are installed: what Tab offers, with a weir that prints names and notes how it was called.
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Cli } from '../../src/cli/cli.ts';
import { completionScript, type Shell } from '../../src/cli/completion.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { temporaryFolder } from '../../testbed/scope.ts';

const { env, stdin, stdout, stderr } = process;
const program = await buildProgram(new Cli({ env, stdin, stdout, stderr }));

/** How a shell is asked what it offers for the last of some words, a line each. */
const asks: Record<Shell, (script: string, words: string[]) => string[]> = {
  bash: (script, words) => [
    '-c',
    `. ${script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weir; printf '%s\\n' "\${COMPREPLY[@]}"`,
    'bash',
    ...words,
  ],
  // Outside of completion zsh has no compadd: this one keeps what begins with the word.
  zsh: (script, words) => [
    '-fc',
    `compdef() { : }; compadd() { shift; for each in $@; do [[ $each == $word* ]] && print -- $each; done; true }; . ${script}; words=("$@"); CURRENT=$#; _weir`,
    'zsh',
    ...words,
  ],
  fish: (script, words) => ['--no-config', '-c', `source ${script}; complete -C '${words.join(' ')}'`],
};

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  const isInstalled = spawnSync(shell, ['--version']).status === 0;
  t.test(`in ${shell}`, { skip: isInstalled ? false : `skipped: ${shell} is not installed` }, async (t) => {
    const folder = temporaryFolder(t);
    const script = join(folder, 'completion');
    writeFileSync(script, completionScript(program, shell));
    const calls = join(folder, 'calls');
    writeFileSync(
      join(folder, 'weir'),
      `#!/bin/sh\necho "$*" >>${calls}\ncase "$*" in *topic*) echo clicks; echo orders ;; *node*) echo /app/a; echo /app/b ;; esac\n`,
    );
    chmodSync(join(folder, 'weir'), 0o755);
    const offers = (...words: string[]) => {
      const result = spawnSync(shell, asks[shell](script, words), {
        encoding: 'utf8',
        env: { PATH: `${folder}:${process.env.PATH}`, HOME: folder },
      });
      t.equal(result.stderr, '');
      // Fish adds a description behind a tab.
      return result.stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t')[0]]));
    };
    t.same(offers('weir', 'sta'), ['status']);
    t.ok(offers('weir', 'node', '').includes('history'));
    t.same(offers('weir', 'node', 'get', '--st'), ['--stat']);
    t.same(offers('weir', 'topic', 'describe', 'c'), ['clicks'], 'names of topics are those of the server');
    t.same(offers('weir', 'node', 'get', '/app/'), ['/app/a', '/app/b'], 'nodes are those of the folder');
    t.match(readFileSync(calls, 'utf8'), /-o name topic ls\n(.*\n)*.*-o name node ls/);
    if (shell === 'fish') return;
    offers('weir', '-u', 'http://a', 'topic', 'rm', 'c');
    t.match(readFileSync(calls, 'utf8'), /^-u http:\/\/a -q/m, 'the same server is asked');
    t.same(offers('weir', 'status', '-o', 'js'), ['json']);
  });
}
