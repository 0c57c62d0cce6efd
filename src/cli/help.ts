// The help of commands, in the manner of a manual page; and the examples in it, which the tests run.
import type { Command, HelpConfiguration, Option } from 'commander';
import { exitCodeMeanings } from './errors.ts';

/** A command line that users can copy. */
export interface Example {
  line: string;
  /** What it is for. */
  says?: string;
  /** It goes on until it is interrupted. */
  follows?: true;
  /** The exit code that it shows, if not 0. */
  exit?: number;
}

const examples = new WeakMap<Command, readonly Example[]>();

/** The examples of a command. */
export function examplesOf(command: Command): readonly Example[] {
  return examples.get(command) ?? [];
}

/** The help of a command in parts. */
interface Manual {
  /** One line, in the list of commands. */
  summary: string;
  /** What one needs to know, in full. Default: the summary. */
  description?: string;
  /** Every command has some; the tests run them against a server. */
  examples: readonly (string | Example)[];
}

/**
 * Adds a command with its manual.
 * @param usage its name and arguments, as commander takes them: `get <path>`
 */
export function addCommand(parent: Command, usage: string, manual: Manual): Command {
  const lines = manual.examples.map((each) => (typeof each === 'string' ? { line: each } : each));
  const command = parent
    .command(usage)
    .summary(manual.summary)
    .description(manual.description ?? `${manual.summary}.`);
  examples.set(command, lines);
  // Behind -- the options are those of the command that is run.
  const args = usage
    .split(' ')
    .slice(1)
    .join(' ')
    .replace('<command...>', '-- <command...>')
    .replace('[command', '[-- command');
  command.usage(['[options]', args].filter(Boolean).join(' '));
  command.showHelpAfterError(
    `Usage: ${[...wordsOf(command), command.usage()].join(' ')}\n--help says more, with examples.`,
  );
  command.addHelpText('after', () => `\nExamples:\n${lines.map(exampleText).join('\n')}`);
  return command;
}

/** The words of a command: `weir`, `node`, `get`. */
function wordsOf(command: Command): string[] {
  return [...(command.parent ? wordsOf(command.parent) : []), command.name()];
}

/** Adds a group of commands, such as `node`. */
export function addGroup(parent: Command, name: string, summary: string): Command {
  return parent
    .command(name)
    .summary(summary)
    .description(`${summary}.`)
    .helpCommand(false)
    .showHelpAfterError(`weir ${name} --help lists its commands.`);
}

function exampleText({ line, says, follows }: Example): string {
  const note = [says, follows && 'Ctrl-C ends it'].filter(Boolean).join('; ');
  return `  ${note === '' ? line : `${line.padEnd(40)}  # ${note}`}`;
}

/** How the help of all commands is shown. */
export const helpConfiguration: HelpConfiguration = {
  sortSubcommands: false,
  showGlobalOptions: false,
  subcommandTerm: (command) => {
    const args = command.registeredArguments.map((argument) => {
      const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
      return argument.required ? `<${name}>` : `[${name}]`;
    });
    return [command.name(), ...args].join(' ');
  },
  optionDescription: (option: Option) => {
    const { defaultValue, defaultValueDescription, argChoices, description } = option;
    const choices = argChoices ? ` (${argChoices.join(', ')})` : '';
    const isShown =
      ![undefined, ''].includes(defaultValue) && typeof defaultValue !== 'boolean' && !Array.isArray(defaultValue);
    return `${description}${choices}${isShown ? ` (default ${defaultValueDescription ?? defaultValue})` : ''}`;
  },
};

/** What stands below the help of `weir` itself. */
export function footerOf(variables: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(variables).map((name) => name.length));
  const rows = Object.entries(variables).map(([name, meaning]) => `  ${name.padEnd(width)}  ${meaning}`);
  const codes = exitCodeMeanings.map(([code, meaning]) => `  ${code}  ${meaning}`);
  return `
Environment:
${rows.join('\n')}

Exit codes:
${codes.join('\n')}

"weir COMMAND --help" shows the options and examples of a command, "weir serve --help" the options of the server.`;
}
