// Commands about access control: access me, access check, token new.
import { type Command, Option } from 'commander';
import { newToken } from '../../access/tokens.ts';
import type { Cli } from '../cli.ts';
import { CliError, usageError } from '../errors.ts';
import { addCommand, addGroup } from '../help.ts';
import { queryText } from '../requests.ts';

interface AccessOfCaller {
  identity: string | null;
  admin: boolean;
  allow?: unknown[];
  [field: string]: unknown;
}

interface AccessCheck {
  identity: string | null;
  allowed: boolean;
  missing?: string;
}

const verbs = ['read', 'write', 'delete', 'use', 'manage'];

export function addAccessCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'access', 'Who you are, and what you may do');

  addCommand(group, 'me', {
    summary: 'Show who you are, and what you may do',
    examples: ['weir access me', 'weir access me -o json'],
  }).action(async () => {
    const body = await cli.json<AccessOfCaller>({ path: '/v1/access/me' });
    await cli.out.show({ body, names: () => [body.identity ?? 'anonymous'], text: () => accessText(body) });
  });

  addCommand(group, 'check <verb>', {
    summary: 'Say whether an identity may do something',
    description:
      'Says whether you, or with --as another identity, may do something; exit code 1 if not, with what is missing.',
    examples: [
      'weir access check write --topic clicks',
      { line: 'weir access check read --path /app/colour', says: 'a node' },
    ],
  })
    .option('--as <identity>', 'another identity; only an administrator may ask')
    .addOption(new Option('--path <path>', 'a node').conflicts(['topic', 'group', 'producer']))
    .addOption(new Option('--topic <topic>', 'a topic').conflicts(['path', 'group', 'producer']))
    .addOption(new Option('--group <group>', 'a group').conflicts(['path', 'topic', 'producer']))
    .addOption(new Option('--producer <name>', 'a named producer').conflicts(['path', 'topic', 'group']))
    .action(async (verb: string, options: { [name: string]: string }) => {
      if (!verbs.includes(verb)) throw usageError(`"${verb}" is no verb; there are ${verbs.join(', ')}.`);
      if (!['path', 'topic', 'group', 'producer'].some((name) => name in options)) {
        throw usageError('Say on what: --path, --topic, --group or --producer.');
      }
      const body = await cli.json<AccessCheck>({ path: `/v1/access/check${queryText({ verb, ...options })}` });
      await cli.out.show({
        body,
        names: () => [body.allowed ? 'allowed' : 'refused'],
        text: () => (body.allowed ? 'allowed' : `refused: ${body.missing ?? 'no rule allows it'}`),
      });
      if (!body.allowed) throw new CliError('');
    });

  const tokens = addGroup(program, 'token', 'Make tokens for the policy file');
  addCommand(tokens, 'new <identity>', {
    summary: 'Make a token, and the lines of the policy for it',
    description:
      'Makes a token and prints it with the lines of the policy file that accept it. It asks no server and stores nothing: the token cannot be shown again. -o raw prints the token alone.',
    examples: [
      'weir token new billing',
      { line: 'weir token new billing --id billing-2026 -o raw', says: 'the token alone' },
    ],
  })
    .option('--id <id>', 'the id of the token; default: the identity and the year')
    .action(async (identity: string, { id }: { id?: string }) => {
      const tokenId = id ?? `${identity.toLowerCase().replace(/[^a-z0-9-]/g, '-')}-${new Date().getUTCFullYear()}`;
      if (!/^[a-z0-9-]{1,64}$/.test(tokenId)) {
        throw usageError(`The id is "${tokenId}"; it has 1 to 64 of the characters a-z 0-9 -.`);
      }
      const made = newToken(tokenId);
      await cli.out.show({
        body: { identity, ...made },
        names: () => [made.id],
        raw: () => `${made.token}\n`,
        text: () =>
          `${made.token}\n\nIt is not stored and cannot be shown again. The policy has its hash:\n\nidentities:\n  ${identity}:\n    tokens:\n      - { id: ${made.id}, sha256: "${made.sha256}" }`,
      });
    });
}

function accessText({ identity, admin, allow = [] }: AccessOfCaller): string {
  if (identity === null && admin) return 'The server has no policy: everybody may do everything.';
  const rules = allow.map((rule) => `  ${JSON.stringify(rule)}`);
  return [
    `${identity ?? 'anonymous'}${admin ? ', an administrator' : ''}`,
    ...(rules.length > 0 ? ['may:', ...rules] : []),
  ].join('\n');
}
