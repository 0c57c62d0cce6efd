// Commands about the server as a whole: serve, status, health, version.
import type { Command } from 'commander';
import { packageVersion } from '../../config/package.ts';
import type { Brokers, Cluster } from '../api.ts';
import type { Cli } from '../cli.ts';
import { CliError, detailOf, exitCodes, usageError } from '../errors.ts';
import { addCommand } from '../help.ts';
import { tableLines } from '../table.ts';
import { sizeText, spanText } from '../units.ts';
import { durationMs } from '../values.ts';

/** The pause between two looks at a server that does not serve yet. */
const healthPauseMs = 250;

export function addServerCommands(program: Command, cli: Cli): void {
  addCommand(program, 'serve', {
    summary: 'Run a server',
    description:
      'Runs a server until SIGTERM or Ctrl-C. It is what weir does without a command. Its options are its own: weir serve --help lists them.',
    examples: [
      { line: 'weir serve --port 0', says: 'on any free port', follows: true },
      { line: 'weir --port 0 --data-dir ./data', follows: true },
    ],
  }).action(() => {
    throw usageError(
      'The word serve stands first, and what follows are options of the server: weir serve --port 7070.',
    );
  });

  addCommand(program, 'status', {
    summary: 'Show the cluster: brokers, controller, store',
    examples: ['weir status', 'weir status -o json'],
  }).action(async () => {
    const cluster = await cli.json<Cluster>({ path: '/v1/cluster' });
    const { brokers } = await cli.json<Brokers>({ path: '/v1/brokers' });
    await cli.out.show({ body: cluster, text: () => statusText(cli, cluster, brokers) });
  });

  addCommand(program, 'health', {
    summary: 'Check whether the server can serve',
    description:
      'Says whether the server can serve: exit code 0 if it can, 5 if not. With --wait it waits until it can, for scripts that have just started one.',
    examples: ['weir health', { line: 'weir health --wait 60s', says: 'after a start' }],
  })
    .option('--wait <duration>', 'how long to wait until it can', durationMs, 0)
    .action(async ({ wait }: { wait: number }) => health(cli, wait));

  addCommand(program, 'version', {
    summary: 'Print the versions of weir and of the brokers',
    examples: ['weir version', { line: 'weir version --client', says: 'without asking a server' }],
  })
    .option('--client', 'only that of this program')
    .action(async ({ client }: { client?: boolean }) => {
      const version = packageVersion();
      if (client) return cli.out.show({ body: { client: version }, text: () => version, names: () => [version] });
      const { brokers } = await cli.json<Brokers>({ path: '/v1/brokers' });
      const body = { client: version, brokers: brokers.map((broker) => ({ id: broker.id, version: broker.version })) };
      const lines = body.brokers.map((broker) => `broker ${broker.id}: ${broker.version}`);
      await cli.out.show({ body, text: () => [`weir: ${version}`, ...lines].join('\n'), names: () => [version] });
    });
}

function statusText(cli: Cli, { clusterId, controller, store }: Cluster, brokers: Brokers['brokers']): string {
  const { version, engine, shards, unreachable, usedMemoryBytes, maxMemoryBytes } = store;
  const memory = maxMemoryBytes === 0 ? 'no limit' : `of ${sizeText(maxMemoryBytes)}`;
  const lost = unreachable.length === 0 ? '' : cli.out.style('red', `, unreachable: ${unreachable.join(', ')}`);
  const facts: [string, string][] = [
    ['Cluster', clusterId],
    ['Controller', controller ? `broker ${controller.brokerId}` : cli.out.style('red', 'none')],
    ['Store', `Redis ${version}, ${engine}${shards > 1 ? ` of ${shards} shards` : ''}${lost}`],
    ['Memory', `${sizeText(usedMemoryBytes)}, ${memory}`],
  ];
  const table = tableLines(
    {
      columns: ['BROKER', 'URL', 'VERSION', 'RACK', { title: 'LEADS', right: true }, 'UP'],
      rows: brokers.map(({ id, url, version: of, rack, partitionsLed, startedAt }) => [
        id,
        url,
        of,
        rack,
        partitionsLed,
        spanText(Date.now() - startedAt),
      ]),
    },
    (title) => cli.out.style('bold', title),
  );
  return [...facts.map(([name, value]) => `${`${name}:`.padEnd(13)}${value}`), '', ...table].join('\n');
}

async function health(cli: Cli, waitMs: number): Promise<void> {
  const { isWeirError } = await import('@weirkeeper/client');
  const until = Date.now() + waitMs;
  const weir = await cli.newWeir({ retry: { for: 0 } });
  try {
    for (;;) {
      try {
        const body = await weir.http.json<{ status: string }>({ path: '/health/ready', signal: cli.signal });
        return await cli.out.show({ body, text: () => body.status });
      } catch (error) {
        if (!isWeirError(error)) throw error;
        if (Date.now() + healthPauseMs > until) throw new CliError(detailOf(error), exitCodes.unreachable);
      }
      await cli.sleep(healthPauseMs);
    }
  } finally {
    await weir.close();
  }
}
