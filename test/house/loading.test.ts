// What programs load when they start: a command begins at once, and a server soon. What few need is loaded by those who do.
import { Command } from 'commander';
import t from 'tap';
import { Cli } from '../../src/cli/cli.ts';
import { addCommandsFor } from '../../src/cli/commands/index.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { filesBelow, importsOf } from './repository.ts';

/** The files, and the packages, that are loaded with some files: by their imports, and by the imports of what they import. */
function loadedWith(...entries: string[]): { files: string[]; packages: string[] } {
  const files = new Set(entries);
  const packages = new Set<string>();
  for (const file of files) {
    for (const { specifier, file: target, isTypeOnly, isDynamic } of importsOf(file)) {
      if (isTypeOnly || isDynamic) continue;
      if (target !== undefined) files.add(target);
      else if (!specifier.startsWith('node:')) packages.add(specifier);
    }
  }
  return { files: [...files].sort(), packages: [...packages].sort() };
}

t.test('weir --version loads no command, nothing of the server, and no package but commander', async (t) => {
  const { files, packages } = loadedWith('src/cli/main.ts', 'src/cli/program.ts');
  t.ok(files.length > 10, 'there are files to look at');
  t.same(packages, ['commander']);
  const known =
    /^(src\/(cli\/[^/]+|cli\/commands\/index|config\/(client-variables|package))|schemas\/duration-text)\.ts$/;
  t.same(
    files.filter((file) => !known.test(file)),
    [],
  );
});

t.test('a command loads nothing of the server before it runs, and no package but commander', async (t) => {
  const commands = filesBelow('src/cli/commands', '.ts');
  t.ok(commands.length > 20, 'there are files to look at');
  const known = /^(src\/(cli\/.*|config\/package|access\/tokens)|schemas\/(duration-text|size))\.ts$/;
  for (const command of commands) {
    const { files, packages } = loadedWith(command);
    const offenders = [
      ...files.filter((file) => !known.test(file)),
      ...packages.filter((name) => name !== 'commander'),
    ];
    t.same(offenders, [], command);
  }
});

t.test('a command is loaded for its first word, without those of other words', async (t) => {
  const cli = new Cli(process);
  const all = (await buildProgram(cli)).commands;
  for (const command of all) {
    const program = new Command('weir');
    await addCommandsFor(command.name(), program, cli);
    const alone = program.commands.find((each) => each.name() === command.name());
    t.same(
      alone?.commands.map((each) => each.name()),
      command.commands.map((each) => each.name()),
      command.name(),
    );
    // The scripts of completion name all commands.
    if (command.name() !== 'completion') t.ok(program.commands.length < all.length / 2, command.name());
  }
});

t.test('the guard of a command loads nothing', async (t) => {
  t.same(loadedWith('src/cli/guard/guard.ts'), { files: ['src/cli/guard/guard.ts'], packages: [] });
});

t.test('a server starts without what only some servers or requests need', async (t) => {
  const { packages } = loadedWith('src/main.ts', 'src/server-process.ts');
  t.ok(packages.includes('fastify'), 'there are packages to look at');
  const onDemand = [
    '@fastify/swagger',
    '@fastify/swagger-ui',
    'fastify-zod-openapi',
    'zod-openapi',
    'yaml',
    'jose',
    're2js',
  ];
  t.same(
    packages.filter((name) => onDemand.includes(name)),
    [],
  );
});
