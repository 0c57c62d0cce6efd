// Contexts: names for servers, with their tokens.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { checkContextName, unknownContext } from '../contexts.ts';
import { addCommand, addGroup } from '../help.ts';
import { dryRun } from '../input.ts';
import { printable } from '../table.ts';

export function addContextCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'context', 'Name servers, and say which one is used');

  addCommand(group, 'add <name>', {
    summary: 'Add a context, or replace it',
    description:
      'Keeps the server of --url under a name, with the token of --token. A token @FILE is read from the file each time. The first context becomes the current one. The file is $XDG_CONFIG_HOME/weir/config.yaml, which only its owner can read.',
    examples: [
      'weir context add local --url http://localhost:7070',
      {
        line: 'weir context add prod --url https://weir-1:7070,https://weir-2:7070 --token @prod.token --cacert ca.pem',
      },
    ],
  })
    .option('--cacert <file>', 'PEM file with the certificate authorities of the server')
    .option('--cert <file>', 'PEM file with the certificate of this client')
    .option('--key <file>', 'PEM file with the key of that certificate')
    .action(async (name: string, { cacert, cert, key }: { cacert?: string; cert?: string; key?: string }) => {
      checkContextName(name);
      dryRun(cli, `Would add the context ${name}.`);
      const { url = cli.io.env.WEIR_URL || 'http://localhost:7070', token } = cli.globals;
      await cli.checkUrl(url);
      const files = { token: token?.startsWith('@') ? token.slice(1) : undefined, cacert, cert, key };
      for (const [what, file] of Object.entries(files)) {
        if (file !== undefined && !existsSync(file)) {
          cli.out.note(`There is no file ${resolve(file)} yet; ${what} is read from it.`);
        }
      }
      await cli.contexts.change((all) => {
        all.contexts[name] = {
          url,
          // Files are found from any folder.
          ...(token !== undefined && { token: token.startsWith('@') ? `@${resolve(token.slice(1))}` : token }),
          ...(cacert !== undefined && { cacert: resolve(cacert) }),
          ...(cert !== undefined && { cert: resolve(cert) }),
          ...(key !== undefined && { key: resolve(key) }),
        };
        all.current ??= name;
      });
    });

  addCommand(group, 'use <name>', {
    summary: 'Make a context the current one',
    examples: ['weir context use local'],
  }).action(async (name: string) => {
    dryRun(cli, `Would use the context ${name}.`);
    await cli.contexts.change((all) => {
      if (!all.contexts[name]) throw unknownContext(name, all.contexts);
      all.current = name;
    });
  });

  addCommand(group, 'ls', {
    summary: 'List the contexts; * is the current one',
    examples: ['weir context ls'],
  }).action(async () => {
    const { current, contexts } = await cli.contexts.read();
    const list = Object.entries(contexts).map(([name, { url, token, cacert, cert, key }]) => ({
      name,
      url,
      current: name === current,
      // The token stays in the file.
      token: token?.startsWith('@') ? token : token === undefined ? undefined : '***',
      cacert,
      cert,
      key,
    }));
    await cli.out.show({
      body: { contexts: list },
      items: () => list,
      names: () => list.map(({ name }) => name),
      table: () => ({
        columns: ['', 'NAME', 'URL', 'TOKEN'],
        rows: list.map((each) => [each.current ? '*' : ' ', each.name, printable(each.url), each.token]),
      }),
    });
  });

  addCommand(group, 'rm <name>', {
    summary: 'Remove a context',
    examples: ['weir context rm local'],
  }).action(async (name: string) => {
    dryRun(cli, `Would remove the context ${name}.`);
    await cli.contexts.change((all) => {
      if (!all.contexts[name]) throw unknownContext(name, all.contexts);
      delete all.contexts[name];
      if (all.current === name) delete all.current;
    });
  });
}
