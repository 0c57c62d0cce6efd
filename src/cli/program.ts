// The command tree of `weir`, and how a command is run: its options, its errors, its end.
import { Command, CommanderError, Option } from 'commander';
import { clientVariables } from '../config/client-variables.ts';
import { packageVersion } from '../config/package.ts';
import { Cli, type CliProcess, type GlobalOptions } from './cli.ts';
import { addAllCommands, addCommandsFor } from './commands/index.ts';
import { CliError, detailOf, Ended, exitCodeOf, exitCodes } from './errors.ts';
import { footerOf, helpConfiguration } from './help.ts';
import { formats } from './output.ts';
import { durationMs } from './values.ts';

/** The whole command tree. */
export async function buildProgram(cli: Cli): Promise<Command> {
  const program = programWithoutCommands(cli);
  await addAllCommands(program, cli);
  return program;
}

function programWithoutCommands(cli: Cli): Command {
  const program = new Command('weir')
    .description(
      'The command line of Weirkeeper: runs a server, and works with the tree, topics and groups of one. Without a command it runs a server.',
    )
    .usage('[command] [options]')
    .configureHelp(helpConfiguration)
    .configureOutput({
      writeOut: (text) => void cli.io.stdout.write(text),
      writeErr: (text) => void cli.io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, '')),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('weir --help lists the commands.')
    .helpCommand(false)
    .helpOption('-h, --help', 'show this help')
    .option('-u, --url <url>', 'the URL of the server, or several with commas between them')
    .option('--token <token>', 'the access token, or @FILE with it')
    .option('--context <name>', 'the context to use (weir context ls)')
    .addOption(new Option('-o, --output <form>', 'the output format').choices(formats))
    .option('--no-color', 'no colours; so does the variable NO_COLOR')
    .option('-q, --quiet', 'print results and errors only')
    .option('-v, --verbose', 'print the equivalent curl command on stderr')
    .option('--timeout <duration>', 'give up after this time', durationMs)
    .option('--yes', 'do not ask before something is deleted')
    .option('--dry-run', 'show what would be done, and do nothing; exit code 7 if there is something to do')
    .version(packageVersion(), '-V, --version', 'print the version')
    .addHelpText('after', footerOf(clientVariables));
  return program.hook('preAction', () => cli.configure(program.opts<GlobalOptions>()));
}

/**
 * Runs one command.
 * @param argv the arguments without the program's name
 * @returns the exit code
 */
export async function runCommandLine(argv: readonly string[], io: CliProcess): Promise<number> {
  const cli = new Cli(io);
  const unlisten = endBySignals(cli);
  try {
    // As the server has always understood it.
    const args = argv.length === 1 && argv[0] === '-v' ? ['--version'] : argv;
    const program = programWithoutCommands(cli);
    const [word] = program.parseOptions([...args]).operands;
    await addCommandsFor(word, program, cli);
    await program.parseAsync(args, { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    return report(cli, cli.signal.aborted ? cli.signal.reason : error);
  } finally {
    await cli.close();
    unlisten();
  }
}

/** Prints an error, and returns its exit code. */
async function report(cli: Cli, error: unknown): Promise<number> {
  if (error instanceof CommanderError) {
    // Commander has printed it.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  if (error instanceof Ended) return cli.isFollowing ? exitCodes.ok : error.exitCode;
  if (error instanceof CliError) {
    if (error.message !== '') cli.out.error(error.message);
    return error.exitCode;
  }
  const { WeirError } = await import('@weirkeeper/client');
  if (error instanceof WeirError) {
    cli.out.error(detailOf(error));
    return exitCodeOf(error);
  }
  if (error instanceof TypeError && /^(fetch failed|terminated)$/.test(error.message)) {
    const reason = error.cause instanceof Error ? error.cause.message : error.message;
    cli.out.error(`The server does not respond any more: ${reason}.`);
    return exitCodes.unreachable;
  }
  cli.out.error(error instanceof Error ? error.message : String(error));
  return exitCodes.refused;
}

/** Ctrl-C and SIGTERM end a command in order; a second one at once. So does a reader of the output that has gone. @returns undoes it */
function endBySignals(cli: Cli): () => void {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const interrupted = (signal: NodeJS.Signals) => {
    if (cli.passSignal(signal)) return;
    for (const each of signals) process.removeListener(each, interrupted);
    cli.end(new Ended(signal));
  };
  for (const signal of signals) process.on(signal, interrupted);
  const broken = (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') cli.end(new Ended('pipe'));
  };
  const stdout = cli.io.stdout as NodeJS.WriteStream;
  const stderr = cli.io.stderr as NodeJS.WriteStream;
  stdout.on('error', broken);
  stderr.on('error', broken);
  return () => {
    for (const signal of signals) process.removeListener(signal, interrupted);
  };
}
