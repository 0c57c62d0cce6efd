// The unit of systemd, as systemd itself reads it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { options } from '../../src/config/options.ts';
import { stopMsMax } from '../../src/server-stop.ts';
import { testConfig } from '../helpers/server.ts';
import { deployFolder, folderFor, needing, run } from './tools.ts';

const unit = readFileSync(join(deployFolder, 'systemd/weirkeeper.service'), 'utf8');
const withSystemd = needing('systemd-analyze', 'it is part of systemd');

/** The unit with a program that is here, as systemd looks whether it is there. */
function unitOfHere(folder: string): string {
  const file = join(folder, 'weirkeeper.service');
  writeFileSync(file, unit.replace('/opt/weirkeeper/node_modules/.bin/weir', process.execPath));
  return file;
}

t.test('systemd finds no fault in the unit', withSystemd, async (t) => {
  const { status, text } = run('systemd-analyze', ['verify', '--man=no', unitOfHere(folderFor(t))]);
  t.equal(text.replace(/^.*(SO_PASSRIGHTS|unit file .* does not exist).*\n/gm, ''), '');
  t.equal(status, 0);
});

t.test('systemd calls the exposure of the service low', withSystemd, async (t) => {
  const file = unitOfHere(folderFor(t));
  const { status, text } = run('systemd-analyze', ['security', '--offline=true', '--threshold=25', '--no-pager', file]);
  t.equal(status, 0, text);
});

t.test('the unit gives a stop the time that it takes, and files enough for all connections', async (t) => {
  const seconds = (name: string) => Number(new RegExp(`^${name}=(\\d+)s?$`, 'm').exec(unit)?.[1]);
  const redisStopSeconds = 10;
  const drainDelayMs = 3000;
  t.ok(seconds('TimeoutStopSec') >= stopMsMax({ ...testConfig, drainDelayMs }) / 1000 + redisStopSeconds);
  t.ok(seconds('LimitNOFILE') > Number(options.maxConnections.default) + 500);
});
