// Writes the reference of the command line into docs/cli.md from the command tree: `npm run cli:docs`. test/house/cli.test.ts compares.
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { Cli } from '../src/cli/cli.ts';
import { examplesOf } from '../src/cli/help.ts';
import { buildProgram } from '../src/cli/program.ts';

const begin = '<!-- The rest of this page is made of the command tree: npm run cli:docs -->';

/** The page with the reference that the command tree has now. @param page its text @throws Error if it has no place for it */
export async function withReference(page: string): Promise<string> {
  const at = page.indexOf(begin);
  if (at < 0) throw new Error(`The page has no line ${begin}`);
  const { env, stdin, stdout, stderr } = process;
  const program = await buildProgram(new Cli({ env, stdin, stdout, stderr }));
  return `${page.slice(0, at)}${begin}\n\n## Options of all commands\n\n${optionsTable(program)}\n## Commands\n\n${program.commands
    .flatMap((command) => sections(command, 'weir'))
    .join('\n')}`;
}

function sections(command: Command, parent: string): string[] {
  const name = `${parent} ${command.name()}`;
  if (command.commands.length > 0) return command.commands.flatMap((each) => sections(each, name));
  const usage = `${name} ${command.usage().replace('[options]', '').trim()}`.trimEnd();
  const isPlain = command.options.length === 0;
  const examples = examplesOf(command).map(({ line, says }) => (says === undefined ? line : `${line}  # ${says}`));
  return [
    `### ${name}\n\n\`${usage}\`\n\n${escaped(command.description())}\n\n${isPlain ? '' : `${optionsTable(command)}\n`}\`\`\`sh\n${examples.join('\n')}\n\`\`\`\n`,
  ];
}

function optionsTable(command: Command): string {
  const rows = command.options.map((option) => {
    const { flags, description, defaultValue, defaultValueDescription, argChoices } = option;
    const isShown =
      ![undefined, ''].includes(defaultValue) && typeof defaultValue !== 'boolean' && !Array.isArray(defaultValue);
    const choices = argChoices ? `: ${argChoices.join(', ')}` : '';
    return `| \`${flags}\` | ${escaped(description)}${choices}${isShown ? `; default ${defaultValueDescription ?? defaultValue}` : ''} |`;
  });
  return ['| option | meaning |', '|---|---|', ...rows, ''].join('\n');
}

/** Text as Markdown shows it. */
function escaped(text: string): string {
  return text.replace(/[<>|*_\\]/g, '\\$&');
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [, , file = 'docs/cli.md'] = process.argv;
  writeFileSync(file, await withReference(readFileSync(file, 'utf8')));
}
