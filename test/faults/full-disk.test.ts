// The disk of the private Redis is full for a while. Acknowledged records are kept, requests that cannot be carried out get an
// error, and the server recovers by itself when there is space. The test needs its own small file system, so it must run as root.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../../testbed/scope.ts';
import { startServerProcess } from '../helpers/process.ts';
import { eventually, type HttpResponse, http } from '../helpers/server.ts';

t.setTimeout(120_000);

const mount = (folder: string) => spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', folder]).status === 0;
const unmount = (folder: string) => spawnSync('umount', ['-l', folder]);

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'weir-test-'));
  const can = mount(folder);
  if (can) unmount(folder);
  rmdirSync(folder);
  return can;
}

const skip = canMount() ? false : 'this user may mount no file system';

t.test('a full disk loses no acknowledged record, and the server recovers when there is space', { skip }, async (t) => {
  const disk = temporaryFolder(t);
  mount(disk);
  t.teardown(() => unmount(disk));
  const dataDir = join(disk, 'data');
  const { url, child, exited } = await startServerProcess(t, { WEIR_DATA_DIR: dataDir });
  let hasEnded = false;
  void exited.then(() => {
    hasEnded = true;
  });
  try {
    await fillAndFree(t, url, disk);
    t.notOk(hasEnded);
  } finally {
    // If the server were killed with the test, its Redis would stay behind on a disk that is removed.
    child.kill('SIGTERM');
    await exited;
  }
});

async function fillAndFree(t: Test, url: string, disk: string): Promise<void> {
  await http(`${url}/v1/topics`, 'POST', { name: 'log' });
  const acknowledged: number[] = [];
  let sent = 0;
  const produce = async (): Promise<HttpResponse> => {
    const n = sent++;
    const records = [{ value: n, headers: [['filling', 'x'.repeat(10_000)]] }];
    const response = await http(`${url}/v1/topics/log/records`, 'POST', { records });
    if (response.status === 200) acknowledged.push(n);
    return response;
  };
  for (let n = 0; n < 10; n += 1) t.equal((await produce()).status, 200);

  const ballast = join(disk, 'ballast');
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - 64 * 1024));
  const refused = await eventually(async () => {
    const response = await produce();
    return response.status !== 200 ? response : undefined;
  }, 'the disk is full');
  t.equal(refused.status, 503);
  t.equal(refused.body.code, 'STORE_UNAVAILABLE');
  t.equal((await http(`${url}/health/live`)).status, 200, 'the process is alive');
  t.ok([200, 503].includes((await produce()).status), 'and it sends responses');

  rmSync(ballast);
  await eventually(async () => (await produce()).status === 200, 'writes succeed again', 60_000);
  const { body } = await http(`${url}/v1/topics/log/partitions/0/records?offset=0&maxRecords=10000&maxBytes=16777216`);
  const kept: number[] = body.records.map(({ value }: { value: number }) => value);
  t.same(
    acknowledged.filter((n) => !kept.includes(n)),
    [],
    `all ${acknowledged.length} acknowledged records are stored`,
  );
  t.same(
    kept,
    [...new Set(kept)].toSorted((a, b) => a - b),
    'each record is stored once and in order',
  );
}
