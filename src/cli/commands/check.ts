// Checks for monitoring, with the exit codes of Nagios: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
import type { Command } from 'commander';
import type { Group } from '../api.ts';
import type { Cli } from '../cli.ts';
import { CliError } from '../errors.ts';
import { addCommand, addGroup } from '../help.ts';
import { resourcePath } from '../requests.ts';
import { countText } from '../units.ts';
import { integerFrom } from '../values.ts';

const states = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const;
const unknown = 3;

export function addCheckCommands(program: Command, cli: Cli): void {
  const group = addGroup(program, 'check', 'Checks for monitoring, with the exit codes of Nagios');
  addCommand(group, 'lag', {
    summary: 'Check how far a group is behind',
    description:
      'Prints one line with performance data, and ends with 0 OK, 1 WARNING, 2 CRITICAL, or 3 UNKNOWN, as Nagios, Icinga and the like expect.',
    examples: [
      { line: 'weir check lag --group billing --warn 1000 --crit 10000' },
      { line: 'weir check lag --group archive --warn 0 --crit 1', says: 'CRITICAL', exit: 2 },
    ],
  })
    .requiredOption('--group <group>', 'the group')
    .requiredOption('--warn <records>', 'WARNING above this lag', integerFrom(0))
    .requiredOption('--crit <records>', 'CRITICAL above this lag', integerFrom(0))
    .option('--topic <topic>', 'only of this topic')
    .action(async (options: { group: string; warn: number; crit: number; topic?: string }) => {
      const [code, text] = await judge(cli, options);
      await cli.out.line(`LAG ${states[code] ?? 'UNKNOWN'} - ${text}`);
      if (code !== 0) throw new CliError('', code);
    });
}

async function judge(
  cli: Cli,
  { group, warn, crit, topic }: { group: string; warn: number; crit: number; topic?: string },
): Promise<[code: number, text: string]> {
  const { isWeirError } = await import('@weirkeeper/client');
  let described: Group;
  try {
    described = await cli.json<Group>({ path: resourcePath('groups', group) });
  } catch (error) {
    if (!isWeirError(error)) throw error;
    return [unknown, error.detail];
  }
  const partitions = described.partitions.filter((each) => topic === undefined || each.topic === topic);
  if (partitions.length === 0)
    return [unknown, `group ${group} has no partitions${topic === undefined ? '' : ` of ${topic}`}`];
  if (partitions.some(({ lag }) => lag === null)) return [unknown, `the lag of group ${group} is not known`];
  const lag = partitions.reduce((sum, each) => sum + (each.lag ?? 0), 0);
  const code = lag > crit ? 2 : lag > warn ? 1 : 0;
  return [code, `group ${group} is ${countText(lag)} records behind | lag=${lag};${warn};${crit};0`];
}
