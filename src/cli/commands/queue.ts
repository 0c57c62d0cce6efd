// Commands of queues: put items, and run a command for each.
import { text } from 'node:stream/consumers';
import type { Session } from '@weirkeeper/client';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { usageError } from '../errors.ts';
import { type CommandEnd, exitCodeOfCommand } from '../guard/guarded-command.ts';
import { endLike, GuardedRunner, patientWeir, ttlOption, withGuardedErrors } from '../guard/guarded-run.ts';
import { addCommand, addGroup } from '../help.ts';
import { durationMs, integerFrom } from '../values.ts';

/** Items in one transaction. */
const itemsAtOnce = 500;

interface WorkOptions {
  ttl: number;
  grace?: number;
  count?: number;
  drain?: boolean;
}

export function addQueueCommands(program: Command, cli: Cli): void {
  const queues = addGroup(program, 'queue', 'Queues of items, each processed by one worker at a time');
  addCommand(queues, 'put <queue> [item...]', {
    summary: 'Append items to a queue',
    description:
      'Appends items, each an argument; or without any each line of the standard input. Up to 500 are one transaction. For more than some thousands of items use a topic.',
    examples: [
      { line: 'weir queue put jobs "first job" "second job"' },
      { line: "printf 'one\\ntwo\\n' | weir queue put jobs" },
    ],
  }).action(async (name: string, items: string[]) => {
    const { queue } = await import('@weirkeeper/client/recipes');
    const all = items.length > 0 ? items : await linesOf(cli.io.stdin);
    const into = queue(await cli.weir(), name);
    for (let at = 0; at < all.length; at += itemsAtOnce) await into.put(...all.slice(at, at + itemsAtOnce));
    cli.out.note(all.length === 1 ? '1 item was appended.' : `${all.length} items were appended.`);
  });

  addCommand(queues, 'work <queue> <command...>', {
    summary: 'Run a command for each item of a queue',
    description:
      'Claims one item after the other, and runs the command with the item on its standard input. Its exit code 0 completes the item. With any other one the item is given back, and this ends with that code. If the worker dies, its session ends, and another worker gets the item. The command gets WEIR_FENCE_TOKEN, WEIR_QUEUE_ITEM, the node of the item, and WEIR_SESSION. It is guarded as that of weir lock is.',
    examples: [
      { line: 'weir queue work jobs --count 1 -- sh -c \'read -r job; echo "did $job"\'' },
      { line: 'weir queue work jobs --drain -- cat', says: 'until no item is left' },
    ],
  })
    .addOption(ttlOption())
    .option('--grace <duration>', 'from SIGTERM to SIGKILL, before the session can end', durationMs)
    .option('--count <number>', 'end after so many items', integerFrom(1))
    .option('--drain', 'end when no item is left that nobody has claimed')
    .action((name: string, command: string[], options: WorkOptions) =>
      withGuardedErrors(() => work(cli, name, command, options)),
    );
}

async function linesOf(stdin: NodeJS.ReadStream): Promise<string[]> {
  if (stdin.isTTY) throw usageError('Name the items, or give them on the standard input, one a line.');
  return (await text(stdin)).split('\n').filter((line) => line !== '');
}

async function work(cli: Cli, name: string, command: string[], options: WorkOptions): Promise<void> {
  const weir = await patientWeir(cli);
  try {
    const session = await weir.session({ ttl: options.ttl, signal: cli.signal });
    const runner = new GuardedRunner(cli, session, options.grace);
    try {
      endLike(await workOn(cli, session, runner, name, command, options), command);
    } finally {
      runner.close();
      await session.end();
    }
  } finally {
    await weir.close();
  }
}

/** @returns how the last command has ended */
async function workOn(
  cli: Cli,
  session: Session,
  runner: GuardedRunner,
  name: string,
  command: string[],
  { count = Number.POSITIVE_INFINITY, drain }: WorkOptions,
): Promise<CommandEnd> {
  const { queue } = await import('@weirkeeper/client/recipes');
  const from = queue(session, name);
  let end: CommandEnd = { kind: 'exited', code: 0 };
  for (let done = 0; done < count; done += 1) {
    const item = await (drain ? from.tryTake({ signal: cli.signal }) : from.take({ signal: cli.signal }));
    if (!item) break;
    const env = {
      ...cli.io.env,
      WEIR_FENCE_TOKEN: String(item.token),
      WEIR_QUEUE_ITEM: item.node.path,
      WEIR_SESSION: session.handle,
    };
    end = await runner.run({ command, env, input: item.node.bytes }, item.claim);
    if (exitCodeOfCommand(end) !== 0) {
      await item.release().catch(() => {});
      return end;
    }
    await item.done();
    if (runner.wasSignalled) break;
  }
  return end;
}
