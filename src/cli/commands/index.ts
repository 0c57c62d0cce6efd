// All commands, in the order of the help. A file adds the commands of one noun: `addXCommands(program, cli)`. It is loaded only if the
// command line begins with one of its words: reading a node must not wait for what other commands are made of.
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';

interface CommandFile {
  /** The first words of its commands. A group that several files add to is found by its name: `program.commands.find(...)`. */
  words: readonly string[];
  load(): Promise<(program: Command, cli: Cli) => void>;
}

const files: readonly CommandFile[] = [
  {
    words: ['serve', 'status', 'health', 'version'],
    load: async () => (await import('./server.ts')).addServerCommands,
  },
  { words: ['node'], load: async () => (await import('./node.ts')).addNodeCommands },
  { words: ['watch', 'multi'], load: async () => (await import('./watch.ts')).addWatchCommands },
  { words: ['session'], load: async () => (await import('./session.ts')).addSessionCommands },
  {
    words: ['lock', 'elect', 'semaphore', 'register', 'session'],
    load: async () => (await import('./guarded.ts')).addGuardedCommands,
  },
  { words: ['queue'], load: async () => (await import('./queue.ts')).addQueueCommands },
  { words: ['topic'], load: async () => (await import('./topic.ts')).addTopicCommands },
  { words: ['produce'], load: async () => (await import('./produce.ts')).addProduceCommand },
  { words: ['consume'], load: async () => (await import('./consume.ts')).addConsumeCommand },
  { words: ['group'], load: async () => (await import('./group.ts')).addGroupCommands },
  { words: ['broker'], load: async () => (await import('./broker.ts')).addBrokerCommands },
  { words: ['access', 'token'], load: async () => (await import('./access.ts')).addAccessCommands },
  { words: ['check'], load: async () => (await import('./check.ts')).addCheckCommands },
  { words: ['backup', 'restore'], load: async () => (await import('./backup.ts')).addBackupCommands },
  { words: ['doctor'], load: async () => (await import('./doctor.ts')).addDoctorCommands },
  { words: ['demo'], load: async () => (await import('./demo.ts')).addDemoCommands },
  { words: ['top'], load: async () => (await import('./top.ts')).addTopCommand },
  { words: ['bench'], load: async () => (await import('./bench.ts')).addBenchCommands },
  { words: ['context'], load: async () => (await import('./context.ts')).addContextCommands },
  { words: ['completion'], load: async () => (await import('./completion.ts')).addCompletionCommand },
];

/** All commands. */
export function addAllCommands(program: Command, cli: Cli): Promise<void> {
  return addCommandsOf(files, program, cli);
}

/**
 * The commands that begin with a word; all, if there are none: for the help of `weir` itself, and to say what may have been meant.
 * @param word the first word of the command line that is no option
 */
export function addCommandsFor(word: string | undefined, program: Command, cli: Cli): Promise<void> {
  const found = files.filter(({ words }) => word !== undefined && words.includes(word));
  // The scripts of completion name all commands.
  return addCommandsOf(found.length === 0 || word === 'completion' ? files : found, program, cli);
}

async function addCommandsOf(chosen: readonly CommandFile[], program: Command, cli: Cli): Promise<void> {
  for (const add of await Promise.all(chosen.map(({ load }) => load()))) add(program, cli);
}
