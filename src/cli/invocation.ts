// What an invocation of `weir` is for: to run a server, or a command. It loads nothing, so that a server starts at once.

/** Options of the command line itself that stand before a command; all others that come first are those of the server. */
const longOptions: ReadonlySet<string> = new Set([
  'url',
  'token',
  'context',
  'output',
  'no-color',
  'quiet',
  'verbose',
  'timeout',
  'yes',
  'dry-run',
  'help',
  'version',
]);

/** The arguments with `help` in front, as `weir help node get` or `weir help`, in their usual form: `node get --help`. */
export function withHelpOption(argv: readonly string[]): string[] {
  const [first, ...rest] = argv;
  return first === 'help' ? [...rest, '--help'] : [...argv];
}

/** Whether the arguments are those of a server: none, `serve …`, or an option of the server, such as `--port`. */
export function isServe([first]: readonly string[]): boolean {
  if (first === undefined || first === 'serve') return true;
  return first.startsWith('--') && !longOptions.has(first.slice(2).replace(/=.*/, ''));
}
