// Prints the completion script of a shell.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { completionScript, type Shell, shells } from '../completion.ts';
import { addCommand } from '../help.ts';

export function addCompletionCommand(program: Command, cli: Cli): void {
  const command = addCommand(program, 'completion <shell>', {
    summary: 'Print a script that completes commands in your shell',
    description:
      'Prints a script for bash, zsh or fish that completes commands and options, and the names of topics, groups, nodes and sessions, which it asks the server for.',
    examples: [
      { line: 'weir completion bash >weir.bash', says: 'then in ~/.bashrc: . weir.bash' },
      { line: 'weir completion zsh >_weir', says: 'in a folder of $fpath' },
      { line: 'weir completion fish >weir.fish', says: 'in ~/.config/fish/completions' },
    ],
  }).action(async (shell: Shell) => cli.out.write(completionScript(program, shell)));
  for (const argument of command.registeredArguments) argument.choices(shells);
}
