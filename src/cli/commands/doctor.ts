// weir doctor: checks a server, its Redis and this machine, and says what to repair.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { packageVersion } from '../../config/package.ts';
import type { StoreTarget } from '../../store/redis/target.ts';
import type { Cli } from '../cli.ts';
import type { Finding } from '../doctor/finding.ts';
import { checkDataDir, checkPolicy, checkSystem } from '../doctor/host-checks.ts';
import { checkRedis } from '../doctor/redis-checks.ts';
import { checkServer } from '../doctor/server-checks.ts';
import { CliError } from '../errors.ts';
import { addCommand } from '../help.ts';

interface DoctorOptions {
  dataDir?: string;
  redisUrl?: string;
  policy?: string;
}

export function addDoctorCommands(program: Command, cli: Cli): void {
  addCommand(program, 'doctor', {
    summary: 'Check a server, its Redis and its machine, and say what to repair',
    description:
      'Looks at versions, clocks, memory, access, open files, slow scripts and the settings of Redis. Each finding is ok, warn or fail, and has what it means and what to do. Exit code 1 if anything failed. With the URL alone it sees what the API and /metrics tell; with --data-dir or --redis-url it looks at Redis itself, and at this machine.',
    examples: ['weir doctor', { line: 'weir doctor -o json', says: 'for programs' }],
  })
    .option('--data-dir <folder>', 'the data folder of a server on this machine (WEIR_DATA_DIR)')
    .option(
      '--redis-url <url>',
      'the Redis of the server (WEIR_REDIS_URL); the variables of the server for TLS and Sentinels count',
    )
    .option('--policy <file>', 'the policy of the server (WEIR_ACCESS_FILE)')
    .action((options: DoctorOptions) => doctor(cli, options));
}

async function doctor(cli: Cli, { dataDir, redisUrl, policy }: DoctorOptions): Promise<void> {
  const findings = await checkedServer(cli);
  const targets: StoreTarget[] = [];
  if (dataDir !== undefined) {
    const socketPath = await socketOf(dataDir);
    if (socketPath !== undefined) targets.push({ socketPath });
  }
  if (redisUrl !== undefined) targets.push(await targetOf(redisUrl, cli));
  let used = 0;
  for (const target of targets) {
    const found = await inspected(target);
    if ('check' in found) {
      findings.push(found);
      continue;
    }
    used += found.reduce((sum, { info }) => sum + Number(info.get('used_memory') ?? 0), 0);
    for (const each of found) findings.push(...checkRedis(each, found.length === 1));
  }
  if (dataDir !== undefined) findings.push(...checkDataDir(dataDir, used), ...checkSystem());
  if (policy !== undefined) findings.push(checkPolicy(policy));
  await cli.out.show({
    body: { findings },
    items: () => findings,
    text: () => findings.map((finding) => textOf(cli, finding)).join('\n'),
    names: () => findings.filter(({ status }) => status !== 'ok').map(({ check }) => check),
  });
  if (findings.some(({ status }) => status === 'fail')) throw new CliError('');
}

/** A server that cannot be reached is a finding, too: Redis and the machine may say why. */
async function checkedServer(cli: Cli): Promise<Finding[]> {
  const { isWeirError } = await import('@weirkeeper/client');
  const { url } = await cli.target();
  const [first = url] = url.split(',');
  try {
    const found = await checkServer((await cli.weir()).http, first, packageVersion(), cli.signal);
    return [{ check: 'server', status: 'ok', found: first }, ...found];
  } catch (error) {
    if (!isWeirError(error)) throw error;
    return [
      {
        check: 'server',
        status: 'fail',
        found: error.detail,
        means: 'The checks of the server were not made.',
        remedy: 'Start it, or name its URL with --url. weir health --wait 60s waits until it serves.',
      },
    ];
  }
}

async function inspected(target: StoreTarget) {
  const { inspectRedis } = await import('../../store/redis/inspection.ts');
  try {
    return await inspectRedis(target);
  } catch (error) {
    const finding: Finding = {
      check: 'Redis',
      status: 'fail',
      found: (error as Error).message,
      means: 'Redis cannot be reached from here.',
      remedy: 'Look whether it runs, and whether the address and the password are right.',
    };
    return finding;
  }
}

/** The socket of the private Redis, from the lock of the data folder. */
async function socketOf(dataDir: string): Promise<string | undefined> {
  try {
    const lock = JSON.parse(await readFile(join(dataDir, 'weir.lock'), 'utf8')) as { details: { socketPath: string } };
    return lock.details.socketPath;
  } catch {
    return undefined;
  }
}

async function targetOf(redisUrl: string, cli: Cli): Promise<StoreTarget> {
  const server = Object.entries(cli.io.env).filter(
    ([name]) => name.startsWith('WEIR_REDIS_') && name !== 'WEIR_REDIS_URL',
  );
  const { loadConfig } = await import('../../config/config.ts');
  const invocation = loadConfig(Object.fromEntries(server), ['--redis-url', redisUrl]);
  if (invocation.kind !== 'run') throw new CliError(`${redisUrl} is no URL of a Redis.`);
  const { sharedStore } = await import('../../store/redis/target.ts');
  return sharedStore(invocation.config, redisUrl);
}

const styles = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

function textOf(cli: Cli, { check, status, found, means, remedy }: Finding): string {
  const head = `${cli.out.style(styles[status], status.padEnd(5))} ${check}: ${found}`;
  return [
    head,
    ...(means === undefined ? [] : [`      ${means}`]),
    ...(remedy === undefined ? [] : [`      ${remedy}`]),
  ].join('\n');
}
