// Brings a backup into a server: nodes, topics with their records, committed offsets. It may be interrupted and repeated at any point.
import type { NodeLine, Weir } from '@weirkeeper/client';
import { readBackup } from './backup-file.ts';
import type { TopicLine } from './backup-lines.ts';
import { RecordAppender } from './record-appender.ts';
import type { MappedOffset, RestorePlan } from './restore-plan.ts';
import { RestoredTopics } from './restored-topics.ts';

/** What to do with what exists with other content. */
export type OnConflict = 'fail' | 'skip' | 'overwrite';

export interface RestoreOptions {
  file: string;
  plan: RestorePlan;
  /** Where the nodes go; undefined: where they were. */
  prefix: string | undefined;
  /** Stands before the names of topics and groups. */
  topicPrefix: string;
  onConflict: OnConflict;
  /** Topics get no retention. */
  keepsAll: boolean;
  signal: AbortSignal;
  progress(records: number): void;
}

/** What is there already, and what is to be done. */
interface Survey {
  /** What the restore must not touch; texts for the user. */
  conflicts: string[];
  /** Topics of the backup that are left out. */
  skipped: Set<string>;
  /** Topics that get fewer replicas than they had, as there are too few brokers. */
  fewerReplicas: { topic: string; had: number; gets: number }[];
  nodes: { created: number; overwritten: number; same: number; skipped: number };
}

interface RestoreCounts {
  nodes: { created: number; overwritten: number; same: number; skipped: number };
  topics: number;
  records: number;
  /** Records that an earlier run has restored. */
  recordsBefore: number;
  offsets: number;
}

/** Looks what a restore would meet; writes nothing. */
export async function survey(weir: Weir, options: RestoreOptions): Promise<Survey> {
  const { plan, topicPrefix, onConflict, signal } = options;
  const topics = new RestoredTopics(weir, plan.header.id, signal);
  const conflicts: string[] = [];
  const skipped = new Set<string>();
  const fewerReplicas: Survey['fewerReplicas'] = [];
  for (const line of plan.topics) {
    const { name, replicationFactor: had = 1 } = line;
    if (!(await topics.isForeign(topicPrefix + name))) {
      const gets = await topics.replicationFactorOf(line);
      if (gets < had) fewerReplicas.push({ topic: topicPrefix + name, had, gets });
      continue;
    }
    if (onConflict === 'skip') skipped.add(name);
    else
      conflicts.push(
        `The topic ${topicPrefix + name} exists. Delete it, use --topic-prefix, or leave it as it is with --on-conflict skip.`,
      );
  }
  const restored = new Set(plan.topics.map(({ name }) => name).filter((name) => !skipped.has(name)));
  for (const group of byGroup(plan.offsets, restored).keys()) {
    if (await hasMembers(weir, topicPrefix + group))
      conflicts.push(
        `The group ${topicPrefix + group} has members; offsets can be restored only while it has none. Stop its consumers.`,
      );
  }
  const { nodes, conflict } = await surveyNodes(weir, options);
  if (conflict !== undefined) conflicts.push(conflict);
  return { conflicts, skipped, fewerReplicas, nodes };
}

/** A trial of the import says what it would do. */
async function surveyNodes(
  weir: Weir,
  options: RestoreOptions,
): Promise<{ nodes: Survey['nodes']; conflict?: string }> {
  const { plan, file, prefix, onConflict, signal } = options;
  if (plan.nodes === 0) return { nodes: noNodes };
  const trial = (how: OnConflict) =>
    weir.tree.import(nodesOf(file), {
      onConflict: how,
      dryRun: true,
      signal,
      ...(prefix !== undefined && { path: prefix }),
    });
  const { isWeirError } = await import('@weirkeeper/client');
  try {
    const nodes = await trial(onConflict === 'overwrite' ? 'overwrite' : 'skip');
    if (onConflict !== 'fail' || nodes.skipped === 0) return { nodes };
    const first = await trial('fail').then(
      () => '',
      (error: Error) => (isWeirError(error) ? error.detail : error.message),
    );
    const conflict = `${nodes.skipped} nodes exist with other content. ${first} Use --prefix, or --on-conflict skip or overwrite.`;
    return { nodes, conflict };
  } catch (error) {
    // There is not even a place for them yet.
    if (isWeirError(error, 'NO_PARENT') && error.fields.line === 1)
      return { nodes: { ...noNodes, created: plan.nodes } };
    throw error;
  }
}

const noNodes = { created: 0, overwritten: 0, same: 0, skipped: 0 };

/** The nodes of a backup. They stand before everything else but the header. */
async function* nodesOf(file: string): AsyncGenerator<NodeLine, void, undefined> {
  for await (const line of readBackup(file)) {
    if (line.type === 'node') yield line.node;
    else if (line.type !== 'backup') return;
  }
}

/** @param skipped topics that are left out @throws CliError, WeirError; then the same restore may be done again */
export async function restore(
  weir: Weir,
  options: RestoreOptions,
  skipped: ReadonlySet<string>,
): Promise<RestoreCounts> {
  const { plan, topicPrefix, keepsAll, signal } = options;
  const nodes = plan.nodes === 0 ? noNodes : await restoreNodes(weir, options);
  const topics = plan.topics.filter(({ name }) => !skipped.has(name));
  const counts: RestoreCounts = { nodes, topics: topics.length, records: 0, recordsBefore: 0, offsets: 0 };
  if (topics.length > 0) {
    const restored = new RestoredTopics(weir, plan.header.id, signal);
    await restoreRecords(weir, options, topics, restored, counts);
    for (const [group, offsets] of byGroup(plan.offsets, new Set(topics.map(({ name }) => name)))) {
      for (let at = 0; at < offsets.length; at += offsetsPerCommit) {
        await commit(weir, topicPrefix, group, offsets.slice(at, at + offsetsPerCommit), signal);
      }
      counts.offsets += offsets.length;
    }
    for (const topic of topics) await restored.close(topic, topicPrefix + topic.name, keepsAll);
    await restored.forget(topics.map(({ name }) => topicPrefix + name));
  }
  return counts;
}

const offsetsPerCommit = 1000;

async function restoreNodes(weir: Weir, options: RestoreOptions): Promise<RestoreCounts['nodes']> {
  const { file, prefix, plan, onConflict, signal } = options;
  const top = prefix ?? plan.top ?? '/';
  const parent = top.slice(0, top.lastIndexOf('/'));
  if (parent !== '' && !(await weir.tree.exists(parent, { signal }))) {
    const { isWeirError } = await import('@weirkeeper/client');
    await weir.tree.create(parent, '', { parents: true, signal }).catch((error: unknown) => {
      if (!isWeirError(error, 'NODE_EXISTS')) throw error;
    });
  }
  return weir.tree.import(nodesOf(file), { onConflict, signal, ...(prefix !== undefined && { path: prefix }) });
}

async function restoreRecords(
  weir: Weir,
  { file, plan, topicPrefix, signal, progress }: RestoreOptions,
  topics: readonly TopicLine[],
  restored: RestoredTopics,
  counts: RestoreCounts,
): Promise<void> {
  // First: from then on an earlier run that is still alive can append nothing.
  const appender = await RecordAppender.start(
    weir.http,
    `weir-restore-${plan.header.id}-${topicPrefix}`.slice(0, 255),
    signal,
  );
  /** By topic: how many records of each partition are there already. */
  const there = new Map<string, number[]>();
  for (const topic of topics) there.set(topic.name, await restored.open(topic, topicPrefix + topic.name));
  for await (const line of readBackup(file)) {
    if (line.type !== 'record') continue;
    const ahead = there.get(line.topic);
    if (!ahead) continue;
    const { partition } = line;
    if ((ahead[partition] ?? 0) > 0) {
      ahead[partition] = (ahead[partition] ?? 0) - 1;
      counts.recordsBefore += 1;
      continue;
    }
    await appender.append(topicPrefix + line.topic, partition, line.text);
    counts.records += 1;
    progress(counts.records + counts.recordsBefore);
  }
  await appender.flush();
}

async function commit(
  weir: Weir,
  prefix: string,
  group: string,
  offsets: readonly MappedOffset[],
  signal: AbortSignal,
): Promise<void> {
  await weir.http.json({
    method: 'POST',
    path: `/v1/groups/${encodeURIComponent(prefix + group)}/offsets`,
    body: {
      offsets: offsets.map(({ topic, partition, offset, metadata }) => ({
        topic: prefix + topic,
        partition,
        offset,
        ...(metadata !== undefined && { metadata }),
      })),
    },
    signal,
  });
}

async function hasMembers(weir: Weir, group: string): Promise<boolean> {
  const { isWeirError } = await import('@weirkeeper/client');
  try {
    const { members } = await weir.http.json<{ members: unknown[] }>({
      path: `/v1/groups/${encodeURIComponent(group)}`,
    });
    return members.length > 0;
  } catch (error) {
    if (isWeirError(error, 'UNKNOWN_GROUP')) return false;
    throw error;
  }
}

/** The offsets in some topics, by their groups. */
function byGroup(offsets: readonly MappedOffset[], topics: ReadonlySet<string>): Map<string, MappedOffset[]> {
  const groups = new Map<string, MappedOffset[]>();
  for (const offset of offsets) {
    if (!topics.has(offset.topic)) continue;
    const own = groups.get(offset.group);
    if (own) own.push(offset);
    else groups.set(offset.group, [offset]);
  }
  return groups;
}
