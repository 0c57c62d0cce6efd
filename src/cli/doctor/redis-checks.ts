// Checks of the Redis servers themselves: their settings, their disk, their slow commands.
import type { RedisInspection } from '../../store/redis/inspection.ts';
import { sizeText } from '../units.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

/** A slow command is one that a server notices. */
const slowMsMin = 100;

/** @param isOnly whether there is one Redis only, so that findings need not name it */
export function checkRedis(inspection: RedisInspection, isOnly: boolean): Finding[] {
  const findings = [
    checkSync(inspection),
    checkEviction(inspection),
    checkSnapshots(inspection),
    checkWrites(inspection),
    checkFragmentation(inspection),
    checkTime(inspection),
    checkSlowLog(inspection),
  ];
  return isOnly ? findings : findings.map((each) => ({ ...each, check: `${each.check} (${inspection.address})` }));
}

function checkSync({ settings }: RedisInspection): Finding {
  const sync = settings.get('appendfsync') ?? 'unknown';
  if (settings.get('appendonly') === 'no')
    return fail(
      'appendfsync',
      'no append-only file',
      'A stop of Redis loses all changes since its last snapshot.',
      'CONFIG SET appendonly yes, and the same in redis.conf.',
    );
  if (sync === 'always' || sync === 'unknown')
    return ok('appendfsync', sync === 'unknown' ? 'CONFIG is not allowed' : sync);
  if (sync === 'everysec')
    return warn(
      'appendfsync',
      sync,
      'A crash of the machine loses one to two seconds that were acknowledged.',
      'CONFIG SET appendfsync always, if that must not be (docs/operations.md, Persistence).',
    );
  return fail(
    'appendfsync',
    sync,
    'A crash of the machine loses what the system had not written yet, some 30 s.',
    'CONFIG SET appendfsync always, or everysec.',
  );
}

function checkEviction({ settings, info }: RedisInspection): Finding {
  const policy = settings.get('maxmemory-policy') ?? info.get('maxmemory_policy') ?? 'unknown';
  if (policy === 'noeviction') return ok('maxmemory-policy', policy);
  return fail(
    'maxmemory-policy',
    policy,
    'When memory is short Redis deletes nodes and records that were acknowledged.',
    'CONFIG SET maxmemory-policy noeviction, and the same in redis.conf.',
  );
}

function checkSnapshots({ settings }: RedisInspection): Finding {
  const save = settings.get('save') ?? '';
  if (save === '') return ok('snapshots', 'none beside the append-only file');
  return warn(
    'snapshots',
    `save ${save}`,
    'Each snapshot forks Redis, which takes memory and time, and is not needed beside the append-only file.',
    'CONFIG SET save "".',
  );
}

function checkWrites({ info }: RedisInspection): Finding {
  const failed = ['aof_last_write_status', 'aof_last_bgrewrite_status'].filter(
    (name) => info.has(name) && info.get(name) !== 'ok',
  );
  if (failed.length === 0) return ok('append-only file', 'its last write and rewrite succeeded');
  return fail(
    'append-only file',
    `${failed.join(', ')}: err`,
    'Redis cannot write its data to the disk.',
    'Look for a full disk or wrong rights of its folder, and into the log of Redis.',
  );
}

function checkFragmentation({ info }: RedisInspection): Finding {
  const used = Number(info.get('used_memory') ?? 0);
  const ratio = Number(info.get('mem_fragmentation_ratio') ?? 1);
  const resident = Number(info.get('used_memory_rss') ?? 0);
  const found = `${sizeText(resident)} for ${sizeText(used)} (${ratio})`;
  // A small Redis always has a large share of other memory.
  if (ratio < 1.5 || resident - used < 256 * 1024 * 1024) return ok('fragmentation', found);
  return warn(
    'fragmentation',
    found,
    'Redis takes much more memory than its data has.',
    'CONFIG SET activedefrag yes, or restart Redis when there is an occasion.',
  );
}

function checkTime({ clockAheadMs }: RedisInspection): Finding {
  const found = `${Math.round(Math.abs(clockAheadMs))} ms ${clockAheadMs < 0 ? 'behind' : 'ahead of'} this machine`;
  if (Math.abs(clockAheadMs) < 1000) return ok('clock of Redis', found);
  return warn(
    'clock of Redis',
    found,
    'Sessions and retention go by the clock of Redis.',
    'Run NTP on the machine of Redis. A clock that jumps ends no session early, but records may be kept longer or shorter.',
  );
}

function checkSlowLog({ slow }: RedisInspection): Finding {
  const seen = slow.filter(({ ms }) => ms >= slowMsMin);
  const [worst] = seen.toSorted((a, b) => b.ms - a.ms);
  if (!worst) return ok('slow commands', `none of ${slowMsMin} ms or more in the SLOWLOG`);
  return warn(
    'slow commands',
    `${seen.length} of ${slowMsMin} ms or more; the slowest took ${Math.round(worst.ms)} ms (${worst.command}, ${new Date(worst.at).toISOString()})`,
    'While one command runs, all others wait.',
    'Look for huge transactions and reads, other users of this Redis, and a machine without free CPU.',
  );
}
