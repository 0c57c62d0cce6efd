// Administration: topics, groups, partitions, elections, and what one may do. Each method is one request over HTTP.
import { type Http, queryOf } from './http.ts';
import type {
  AlterTopic,
  Cluster,
  CommittedOffsets,
  CreateTopic,
  DeletedRecords,
  Election,
  Fences,
  Group,
  Groups,
  OffsetsReset,
  ResetOffsets,
  Topic,
  TopicOffsets,
  Topics,
} from './wire.ts';

/** The page of a list: how many at most, behind which. */
export interface Page {
  limit?: number;
  after?: string;
}

/** What the caller may do; `allow` has the rules. */
export interface AccessOfCaller {
  /** null where there is no policy: everybody may do everything. */
  identity: string | null;
  admin: boolean;
  [field: string]: unknown;
}

/** Whether an identity may do something, and what a rule would have to allow. */
export interface AccessCheck {
  identity: string | null;
  allowed: boolean;
  missing?: string;
  [field: string]: unknown;
}

/** A partition of a topic. */
export interface PartitionOf {
  topic: string;
  partition: number;
}

const topicPath = (topic: string) => `/v1/topics/${encodeURIComponent(topic)}`;
const groupPath = (group: string) => `/v1/groups/${encodeURIComponent(group)}`;

export class Admin {
  readonly #http: Pick<Http, 'json'>;

  /** @param http of a client: `new Admin(client.http)` */
  constructor(http: Pick<Http, 'json'>) {
    this.#http = http;
  }

  /** Topics: create, list, describe, alter, delete, and the offsets at an end or a time. */
  get topics() {
    const http = this.#http;
    return {
      create: (topic: CreateTopic): Promise<Topic> => http.json({ method: 'POST', path: '/v1/topics', body: topic }),
      list: (page: Page = {}): Promise<Topics> => http.json({ path: `/v1/topics${queryOf({ ...page })}` }),
      describe: (topic: string): Promise<Topic> => http.json({ path: topicPath(topic) }),
      alter: (topic: string, changes: AlterTopic): Promise<Topic> =>
        http.json({ method: 'PATCH', path: topicPath(topic), body: changes }),
      delete: (topic: string): Promise<void> => http.json({ method: 'DELETE', path: topicPath(topic) }),
      offsets: (topic: string, at: 'earliest' | 'latest' | number = 'latest'): Promise<TopicOffsets> =>
        http.json({ path: `${topicPath(topic)}/offsets${queryOf({ at })}` }),
    };
  }

  /** Partitions: their replicas, the records before an offset, and the fences that they have seen. */
  get partitions() {
    const http = this.#http;
    const path = ({ topic, partition }: PartitionOf) => `${topicPath(topic)}/partitions/${partition}`;
    return {
      reassign: (of: PartitionOf, replicas: number[]): Promise<unknown> =>
        http.json({ method: 'PATCH', path: path(of), body: { replicas } }),
      deleteRecords: (of: PartitionOf, before: number | 'latest'): Promise<DeletedRecords> =>
        http.json({ method: 'DELETE', path: `${path(of)}/records${queryOf({ before })}` }),
      fences: (of: PartitionOf, page: Page = {}): Promise<Fences> =>
        http.json({ path: `${path(of)}/fences${queryOf({ ...page })}` }),
      deleteFence: (of: PartitionOf, name: string): Promise<void> =>
        http.json({ method: 'DELETE', path: `${path(of)}/fences/${encodeURIComponent(name)}` }),
    };
  }

  /** Groups: list, describe, delete, and their committed offsets. */
  get groups() {
    const http = this.#http;
    return {
      list: (page: Page = {}): Promise<Groups> => http.json({ path: `/v1/groups${queryOf({ ...page })}` }),
      describe: (group: string): Promise<Group> => http.json({ path: groupPath(group) }),
      delete: (group: string): Promise<void> => http.json({ method: 'DELETE', path: groupPath(group) }),
      offsets: (group: string): Promise<CommittedOffsets> => http.json({ path: `${groupPath(group)}/offsets` }),
      /** The group must have no members. */
      reset: (group: string, body: ResetOffsets): Promise<OffsetsReset> =>
        http.json({ method: 'POST', path: `${groupPath(group)}/offsets/reset`, body }),
    };
  }

  /** Elections of the preferred leaders. */
  get elections() {
    return {
      elect: (topic: string, partition?: number): Promise<Election> =>
        this.#http.json({
          method: 'POST',
          path: '/v1/elections',
          body: { topic, ...(partition !== undefined && { partition }) },
        }),
    };
  }

  /** What the caller, or another identity, may do. */
  get access() {
    return {
      me: (): Promise<AccessOfCaller> => this.#http.json({ path: '/v1/access/me' }),
      check: (query: {
        verb: string;
        as?: string;
        path?: string;
        topic?: string;
        group?: string;
        producer?: string;
      }): Promise<AccessCheck> => this.#http.json({ path: `/v1/access/check${queryOf({ ...query })}` }),
    };
  }

  /** The cluster, its brokers and its store. */
  cluster(): Promise<Cluster> {
    return this.#http.json({ path: '/v1/cluster' });
  }
}
