// The shapes of responses, from the schemas.
import type { z } from 'zod';
import type { brokersResponse, clusterResponse } from '../../schemas/cluster.ts';
import type { eventsResponse } from '../../schemas/events.ts';
import type { groupsResponse } from '../../schemas/group-list.ts';
import type { commitResponse, groupResponse, resetResponse } from '../../schemas/groups.ts';
import type { childrenResponse, nodeResponse } from '../../schemas/nodes.ts';
import type { fetchResponse, offsetsResponse } from '../../schemas/records.ts';
import type { sessionsResponse } from '../../schemas/sessions.ts';
import type { electionResponse, topicResponse, topicsResponse } from '../../schemas/topics.ts';

export type Cluster = z.output<typeof clusterResponse>;
export type Brokers = z.output<typeof brokersResponse>;
export type NodeView = z.output<typeof nodeResponse>;
export type ChildrenPage = z.output<typeof childrenResponse>;
export type EventHistory = z.output<typeof eventsResponse>;
export type Topic = z.output<typeof topicResponse>;
export type Partition = Topic['partitions'][number];
export type Topics = z.output<typeof topicsResponse>;
export type TopicOffsets = z.output<typeof offsetsResponse>;
export type Fetched = z.output<typeof fetchResponse>;
export type Group = z.output<typeof groupResponse>;
export type Groups = z.output<typeof groupsResponse>;
export type OffsetsReset = z.output<typeof resetResponse>;
export type CommittedOffsetsNow = z.output<typeof commitResponse>;
export type Sessions = z.output<typeof sessionsResponse>;
export type Election = z.output<typeof electionResponse>;
