#!/usr/bin/env -S node --initial-old-space-size=128
// The program `weir`: runs a server, or a command. Only what is needed is loaded.
import { isServe } from './invocation.ts';

const argv = process.argv.slice(2);
if (isServe(argv)) await import('../main.ts');
else {
  const { runCommandLine } = await import('./program.ts');
  const { env, stdin, stdout, stderr } = process;
  const code = await runCommandLine(argv, { env, stdin, stdout, stderr });
  // Nothing that is left may keep a finished command: an idle connection, or a terminal that nobody reads any more.
  stdout.write('', () => process.exit(code));
}
