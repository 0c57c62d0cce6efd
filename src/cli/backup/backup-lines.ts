// What the lines of a backup are, in their order: the header; nodes, parents first; committed offsets; topics; the records of each
// partition; the end.
import type { NodeLine as TreeLine } from '@weirkeeper/client';

export interface HeaderLine {
  type: 'backup';
  version: 1;
  /** Names this backup: a restore that is repeated is known by it. */
  id: string;
  clusterId: string;
  createdAt: string;
}

/** A node as an export gives it. */
interface NodeLine {
  type: 'node';
  node: TreeLine;
}

export interface OffsetLine {
  type: 'offset';
  group: string;
  topic: string;
  partition: number;
  offset: number;
  metadata?: string;
}

export interface TopicLine {
  type: 'topic';
  name: string;
  config: { [setting: string]: string | number };
  /** How many replicas each partition had; files of earlier programs do not say it. */
  replicationFactor?: number;
  /** Of each partition, where its records begin and end. */
  partitions: { start: number; end: number }[];
}

export type BackupLine = NodeLine | OffsetLine | TopicLine;

/** A record, with its fields but the offset as the text that the server gave. */
export interface RecordLine {
  type: 'record';
  topic: string;
  partition: number;
  /** In the log that it was read from. */
  offset: number;
  text: string;
}

/** How much there is, and what was left out. */
export interface EndCounts {
  nodes: number;
  offsets: number;
  topics: number;
  records: number;
  /** Nodes that belong to sessions, which no backup can bring back. */
  ephemerals: number;
  /** Subtrees that the caller may not read. */
  unreadable: number;
}

export interface EndLine extends EndCounts {
  type: 'end';
  lines: number;
  sha256: string;
}
