// All commands, in the order of the help. A file adds the commands of one noun: `addXCommands(program, cli)`.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { addAccessCommands } from './access.ts';
import { addBackupCommands } from './backup.ts';
import { addBenchCommands } from './bench.ts';
import { addBrokerCommands } from './broker.ts';
import { addCheckCommands } from './check.ts';
import { addCompletionCommand } from './completion.ts';
import { addConsumeCommand } from './consume.ts';
import { addContextCommands } from './context.ts';
import { addDemoCommands } from './demo.ts';
import { addDoctorCommands } from './doctor.ts';
import { addGroupCommands } from './group.ts';
import { addGuardedCommands } from './guarded.ts';
import { addNodeCommands } from './node.ts';
import { addProduceCommand } from './produce.ts';
import { addQueueCommands } from './queue.ts';
import { addServerCommands } from './server.ts';
import { addSessionCommands } from './session.ts';
import { addTopCommand } from './top.ts';
import { addTopicCommands } from './topic.ts';
import { addWatchCommands } from './watch.ts';

/** A group of commands that several files add to is found by its name: `program.commands.find(...)`. */
const all = [
  addServerCommands,
  addNodeCommands,
  addWatchCommands,
  addSessionCommands,
  addGuardedCommands,
  addQueueCommands,
  addTopicCommands,
  addProduceCommand,
  addConsumeCommand,
  addGroupCommands,
  addBrokerCommands,
  addAccessCommands,
  addCheckCommands,
  addBackupCommands,
  addDoctorCommands,
  addDemoCommands,
  addTopCommand,
  addBenchCommands,
  addContextCommands,
  addCompletionCommand,
];

export function addAllCommands(program: Command, cli: Cli): void {
  for (const add of all) add(program, cli);
}
