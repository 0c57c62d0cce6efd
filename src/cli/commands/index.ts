// All commands, in the order of the help. A file adds the commands of one noun: `addXCommands(program, cli)`.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { addContextCommands } from './context.ts';
import { addServerCommands } from './server.ts';

export function addAllCommands(program: Command, cli: Cli): void {
  for (const add of [addServerCommands, addContextCommands]) add(program, cli);
}
