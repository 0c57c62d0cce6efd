// Commands that run another command while they hold something: lock, elect, semaphore, register, session keep.
import { hostname } from 'node:os';
import type { Session, Weir } from '@weirkeeper/client';
import type { Hold } from '@weirkeeper/client/recipes';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { CliError } from '../errors.ts';
import {
  endLike,
  GuardedRunner,
  patientWeir,
  stopTimesOf,
  ttlOption,
  withGuardedErrors,
} from '../guard/guarded-run.ts';
import { addCommand, addGroup } from '../help.ts';
import { durationMs, integerFrom } from '../values.ts';

/** Somebody else holds it. */
const busy = 75;

interface Options {
  ttl: number;
  grace?: number;
  /** false: not at all. */
  wait?: number | false;
  value?: string;
  instance?: string;
}

type Acquire = (session: Session, options: { signal: AbortSignal; waits: boolean }) => Promise<Hold | undefined>;

/** What every command of this file says of its exit codes, and of what it cannot do. */
const guardText = `
The command runs in a process group of its own. A separate guard process stops
that group before the session can have ended, first with SIGTERM, then with
SIGKILL: also if weir loses the server, is frozen, or is killed. What the
command has left running in its group is stopped at its end. A program that
leaves the group (a daemon, setsid) or changes its user is not stopped.

Where guard and command are frozen together (the machine sleeps, a container is
paused), only the fence token protects: send it with what only the holder may
write, as weir produce --fence NAME=$WEIR_FENCE_TOKEN, or check in a multi that
$WEIR_LOCK_NODE has this czxid.

Exit codes:
  that of the command; 128 and the number of the signal that ended it
  ${busy}   somebody else holds it (--no-wait, --wait)
  125  weir failed, or had to stop the command
  126  the command cannot be run
  127  there is no such command`;

export function addGuardedCommands(program: Command, cli: Cli): void {
  const locked = guarded(program, 'lock <name> <command...>', {
    summary: 'Run a command while nobody else holds a lock',
    description:
      'Waits for the lock, runs the command, and releases the lock. The command gets WEIR_FENCE_TOKEN, which grows from holder to holder, WEIR_LOCK_NODE, the node of its place in /locks/NAME, and WEIR_SESSION.',
    examples: [
      { line: 'weir lock report -- echo done' },
      { line: 'weir lock report --no-wait -- echo done', says: `exit code ${busy} if somebody else holds it` },
      { line: 'weir lock report --ttl 30s --grace 10s -- sh -c \'echo "token $WEIR_FENCE_TOKEN"\'' },
    ],
  });
  waitOptions(locked).action((name: string, command: string[], options: Options) =>
    runHeld(cli, options, command, async (session, { signal, waits }) => {
      const { lock } = await import('@weirkeeper/client/recipes');
      const what = lock(session, name);
      return waits ? what.acquire({ signal }) : what.tryAcquire({ signal });
    }),
  );

  const elected = guarded(program, 'elect <name> <command...>', {
    summary: 'Run a command while this candidate leads',
    description:
      'Waits until this candidate leads, and runs the command. When the command ends, the next candidate leads. The command gets WEIR_FENCE_TOKEN, which grows from leader to leader, WEIR_LOCK_NODE and WEIR_SESSION.',
    examples: [
      { line: 'weir elect scheduler -- echo leads' },
      {
        line: 'weir elect scheduler --value http://10.0.0.1:8080 -- echo leads',
        says: 'what others read of the leader',
      },
    ],
  });
  waitOptions(elected)
    .option(
      '--value <text>',
      'what others read of the leader; default: the name of this machine and the number of this process',
    )
    .action((name: string, command: string[], { value = `${hostname()} ${process.pid}`, ...options }: Options) =>
      runHeld(cli, options, command, async (session, { signal, waits }) => {
        const { election } = await import('@weirkeeper/client/recipes');
        const candidacy = election(session, name, { value });
        const leadership = await (waits ? candidacy.campaign({ signal }) : candidacy.tryCampaign({ signal }));
        return leadership && { ...leadership, release: leadership.resign };
      }),
    );

  const limited = guarded(program, 'semaphore <name> <permits> <command...>', {
    summary: 'Run a command while it holds one of a number of permits',
    description:
      'Waits for one of the permits of the semaphore, runs the command, and gives the permit back. All must name the same number of permits. The command gets WEIR_FENCE_TOKEN, WEIR_LOCK_NODE and WEIR_SESSION.',
    examples: [{ line: 'weir semaphore scanners 3 -- echo scans' }],
  });
  waitOptions(limited).action((name: string, permits: string, command: string[], options: Options) =>
    runHeld(cli, options, command, async (session, { signal, waits }) => {
      const { semaphore } = await import('@weirkeeper/client/recipes');
      const what = semaphore(session, name, permitsOf(permits));
      return waits ? what.acquire({ signal }) : what.tryAcquire({ signal });
    }),
  );

  addCommand(program, 'register <service> <address> <command...>', {
    summary: 'Run a command, and list it as an instance of a service while it runs',
    description:
      'Registers the instance in /services/SERVICE, runs the command, and removes the instance. If the session is lost, the instance is registered anew; the command goes on, as it holds nothing exclusively. It is stopped if weir is killed.',
    examples: [{ line: 'weir register web http://10.0.0.1:8080 --instance one -- echo serves' }],
  })
    .addOption(ttlOption())
    .option(
      '--instance <name>',
      'the name of the instance; default: the name of this machine and the number of this process',
    )
    .action((name: string, address: string, command: string[], options: Options) =>
      withGuardedErrors(() => register(cli, name, address, command, options)),
    );

  const sessions =
    program.commands.find((each) => each.name() === 'session') ?? addGroup(program, 'session', 'Sessions');
  const kept = guarded(sessions, 'keep [command...]', {
    summary: 'Keep a session alive, for a command or until Ctrl-C',
    description:
      'Creates a session and renews it while the command runs, which gets its handle as WEIR_SESSION: requests with the header Weir-Session create ephemeral nodes that belong to it. When the command ends, the session ends with its nodes. Without a command it prints the session, and keeps it until Ctrl-C.',
    examples: [
      {
        line: 'weir session keep -- sh -c \'curl -s -X PUT -H "Weir-Session: $WEIR_SESSION" "$WEIR_URL/v1/nodes/here?mode=ephemeral"\'',
      },
      { line: 'weir session keep --ttl 30s', follows: true },
    ],
  });
  kept.action((command: string[], options: Options) =>
    withGuardedErrors(() => (command.length === 0 ? keepSession(cli, options) : runInSession(cli, options, command))),
  );
}

function guarded(parent: Command, usage: string, manual: Parameters<typeof addCommand>[2]): Command {
  const command = addCommand(parent, usage, manual)
    .addOption(ttlOption())
    .option(
      '--grace <duration>',
      'from SIGTERM to SIGKILL, before the session can end; default a fifth of the time to live, at most 5s',
      durationMs,
    )
    .addHelpText('after', guardText);
  return command;
}

function waitOptions(command: Command): Command {
  return command
    .option('--wait <duration>', 'how long to wait for it; default: as long as it takes', durationMs)
    .option('--no-wait', `end with ${busy} if somebody else holds it`);
}

function permitsOf(text: string): number {
  try {
    return integerFrom(1)(text);
  } catch {
    throw new CliError(`The number of permits is ${text}; it must be a whole number, 1 or more.`, 2);
  }
}

/** Holds something while a command runs. */
function runHeld(cli: Cli, options: Options, command: string[], acquire: Acquire): Promise<void> {
  return withGuardedErrors(async () => {
    const weir = await patientWeir(cli);
    try {
      const { session, hold } = await acquired(cli, weir, options, acquire);
      const runner = new GuardedRunner(cli, session, options.grace);
      try {
        const env = {
          ...cli.io.env,
          ...variablesOf(session),
          WEIR_FENCE_TOKEN: String(hold.token),
          WEIR_LOCK_NODE: hold.node,
        };
        endLike(await runner.run({ command, env }, hold.node), command);
      } finally {
        runner.close();
        // The command has ended: now somebody else may have it.
        await session.end();
      }
    } finally {
      await weir.close();
    }
  });
}

/** @throws CliError if somebody else has it */
async function acquired(
  cli: Cli,
  weir: Weir,
  { ttl, grace, wait }: Options,
  acquire: Acquire,
): Promise<{ session: Session; hold: Hold }> {
  const { isWeirError } = await import('@weirkeeper/client');
  const giveUp = new AbortController();
  const taken = new CliError('Somebody else holds it.', busy);
  const timer = typeof wait === 'number' ? setTimeout(() => giveUp.abort(taken), wait) : undefined;
  const end = () => giveUp.abort(cli.signal.reason);
  cli.signal.addEventListener('abort', end, { once: true });
  const { signal } = giveUp;
  try {
    for (;;) {
      signal.throwIfAborted();
      const session = await weir.session({ ttl, signal });
      try {
        stopTimesOf(session.ttlMs, grace);
        const hold = await acquire(session, { signal, waits: wait !== false });
        if (!hold) throw taken;
        return { session, hold };
      } catch (error) {
        await session.end();
        // A session that was lost while it waited has lost its place: it queues up anew.
        if (!isWeirError(error, 'SESSION_EXPIRED')) throw error;
      }
    }
  } finally {
    clearTimeout(timer);
    cli.signal.removeEventListener('abort', end);
  }
}

async function runInSession(cli: Cli, { ttl, grace }: Options, command: string[]): Promise<void> {
  const weir = await patientWeir(cli);
  try {
    const session = await weir.session({ ttl, signal: cli.signal });
    const runner = new GuardedRunner(cli, session, grace);
    try {
      endLike(await runner.run({ command, env: { ...cli.io.env, ...variablesOf(session) } }), command);
    } finally {
      runner.close();
      await session.end();
    }
  } finally {
    await weir.close();
  }
}

async function keepSession(cli: Cli, { ttl }: Options): Promise<void> {
  cli.isFollowing = true;
  const weir = await patientWeir(cli);
  try {
    const session = await weir.session({ ttl, signal: cli.signal });
    const { id, handle, ttlMs } = session;
    await cli.out.show({
      body: { id, session: handle, ttlMs },
      text: () => handle,
      names: () => [id],
      raw: () => `${handle}\n`,
    });
    const lost = new Promise<'lost'>((resolve) => session.onState((state) => state === 'lost' && resolve('lost')));
    const ended = new Promise<'ended'>((resolve) => {
      if (cli.signal.aborted) resolve('ended');
      cli.signal.addEventListener('abort', () => resolve('ended'), { once: true });
    });
    if ((await Promise.race([lost, ended])) === 'lost') throw new CliError(`Session ${id} has ended.`);
    await session.end();
    cli.throwUnlessEnded();
  } finally {
    await weir.close();
  }
}

async function register(
  cli: Cli,
  name: string,
  address: string,
  command: string[],
  { ttl, instance = `${hostname()}-${process.pid}` }: Options,
): Promise<void> {
  const { service } = await import('@weirkeeper/client/recipes');
  const weir = await patientWeir(cli, { sessionTtl: ttl });
  const close = () => void weir.close();
  cli.signal.addEventListener('abort', close, { once: true });
  try {
    const registration = await service(weir, name).register(instance, address);
    cli.signal.removeEventListener('abort', close);
    const runner = new GuardedRunner(cli);
    try {
      endLike(await runner.run({ command, env: cli.io.env }), command);
    } finally {
      runner.close();
      await registration.end().catch(() => {});
    }
  } finally {
    await weir.close();
  }
}

function variablesOf(session: Session): { WEIR_SESSION: string } {
  return { WEIR_SESSION: session.handle };
}
