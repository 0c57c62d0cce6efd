// What both kinds of member have in common: how they join, whom they tell what they have, and what they are asked to do.
import type { WeirError } from './errors.ts';
import type { JoinGroup, LogRecord, TopicPartitions } from './wire.ts';

export interface MemberOptions {
  group: string;
  join: JoinGroup;
  /** How many records the server may send before any was processed. */
  credit: number;
}

export interface MemberOwner {
  /** @param isSame the member has what it had before the connection was lost, and nobody else had it meanwhile */
  joined(assignment: TopicPartitions[], isSame: boolean): void;
  assigned(partitions: TopicPartitions[]): void;
  /** To be released by `release` once nothing of them is processed any more. */
  revoking(partitions: TopicPartitions[]): void;
  /** They belong to another member, or are gone. */
  lost(partitions: TopicPartitions[]): void;
  records(batch: { topic: string; partition: number; records: LogRecord[]; nextOffset: number }): void;
  failed(error: WeirError): void;
}

/** A member as one kind of connection makes it. */
export interface ConnectedMember {
  give(records: number): void;
  sendCommits(): void;
  release(partitions: TopicPartitions[]): void;
  rejoin(): void;
  leave(): Promise<void>;
}
