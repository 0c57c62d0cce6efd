#!/usr/bin/env -S node --initial-old-space-size=128
// The program `weir`: runs a server, or a command. Only what is needed is loaded.
import { isServe, withHelpOption } from './invocation.ts';

const argv = withHelpOption(process.argv.slice(2));
// The program of a server reads its arguments itself.
process.argv.splice(2, Number.POSITIVE_INFINITY, ...argv);
if (isServe(argv)) await import('../main.ts');
else {
  const { runCommandLine } = await import('./program.ts');
  const { env, stdin, stdout, stderr } = process;
  const code = await runCommandLine(argv, { env, stdin, stdout, stderr });
  // Nothing that is left may keep a finished command: an idle connection, or a terminal that nobody reads any more.
  stdout.write('', () => process.exit(code));
}
