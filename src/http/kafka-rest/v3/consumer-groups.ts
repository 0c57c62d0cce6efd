// Version 3: groups, their consumers, what these are assigned, and lags. What is in topics that the caller may not read is left out.
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { noQuery } from '../../../../schemas/common.ts';
import type { GroupDescription } from '../../../../schemas/groups.ts';
import {
  v3AssignmentParams,
  v3ClusterParams,
  v3ConsumerParams,
  v3GroupParams,
  v3GroupPartitionParams,
} from '../../../../schemas/kafka-rest-v3.ts';
import { groupStateName } from '../../../core/groups/member-reconciliation.ts';
import { KnownSizes } from '../../known-items.ts';
import { KafkaRestError } from '../errors.ts';
import { type Links, list } from './links.ts';
import type { V3Options } from './options.ts';

type Member = GroupDescription['members'][number];
type Described = Pick<GroupDescription, 'groupId' | 'state' | 'assignor'>;

/** How far a group is in one partition, of which it has committed an offset. */
interface Lag {
  topic: string;
  partition: number;
  committed: number;
  endOffset: number;
  lag: number;
  consumer: Member | undefined;
}

/** So many groups are read at once. */
const groupsPerPage = 1000;

export const v3ConsumerGroupRoutes: FastifyPluginAsyncZodOpenApi<V3Options> = async (app, { broker, linksOf }) => {
  const { groupDirectory, store } = broker;
  const sizes = new KnownSizes('group');
  const config = {
    access: { verb: 'use', kind: 'groups', in: 'group' },
    admission: 'work',
    timeLimit: 'read',
    itemsOf: sizes.of,
  } as const;
  const ofGroup = { config, schema: { hide: true, params: v3GroupParams, querystring: noQuery } } as const;
  const all = '/clusters/:cluster/consumer-groups';
  const base = `${all}/:group`;

  app.get(
    all,
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'none' },
      schema: { hide: true, params: v3ClusterParams, querystring: noQuery },
    },
    async (request) => {
      const links = linksOf(request);
      const mayUse = (group: string) => request.may('use', 'groups', group);
      const data = [];
      let after: string | undefined;
      do {
        const page = await groupDirectory.documents({ after, limit: groupsPerPage }, mayUse);
        for (const { group: groupId, document } of page.groups) {
          data.push(groupOf(links, { groupId, state: groupStateName(document), assignor: document.assignor }));
        }
        after = page.next;
      } while (after !== undefined);
      return list('KafkaConsumerGroup', links.url('consumer-groups'), data);
    },
  );

  app.get(base, ofGroup, async (request) => groupOf(linksOf(request), await describe(request)));

  app.get(`${base}/consumers`, ofGroup, async (request) => {
    const links = linksOf(request);
    const { groupId, members } = await describe(request);
    return list(
      'KafkaConsumer',
      links.url('consumer-groups', groupId, 'consumers'),
      members.map((member) => consumerOf(links, groupId, member)),
    );
  });

  app.get(
    `${base}/consumers/:consumer`,
    { config, schema: { hide: true, params: v3ConsumerParams, querystring: noQuery } },
    async (request) => {
      const { groupId, members } = await describe(request);
      return consumerOf(linksOf(request), groupId, find(members, request.params));
    },
  );

  app.get(
    `${base}/consumers/:consumer/assignments`,
    { config, schema: { hide: true, params: v3ConsumerParams, querystring: noQuery } },
    async (request) => {
      const links = linksOf(request);
      const { groupId, members } = await describe(request);
      const member = find(members, request.params);
      return list(
        'KafkaConsumerAssignment',
        links.url('consumer-groups', groupId, 'consumers', member.memberId, 'assignments'),
        assignmentsOf(request, member).map((at) => assignmentOf(links, groupId, member, at)),
      );
    },
  );

  app.get(
    `${base}/consumers/:consumer/assignments/:topic/partitions/:partition`,
    { config, schema: { hide: true, params: v3AssignmentParams, querystring: noQuery } },
    async (request) => {
      const { topic, partition } = request.params;
      const { groupId, members } = await describe(request);
      const member = find(members, request.params);
      const at = assignmentsOf(request, member).find((one) => one.topic === topic && one.partition === partition);
      if (at) return assignmentOf(linksOf(request), groupId, member, at);
      throw new KafkaRestError(
        404,
        `Consumer '${member.memberId}' is not assigned partition ${partition} of topic ${topic}.`,
      );
    },
  );

  app.get(`${base}/lag-summary`, ofGroup, async (request) => {
    const { groupId, lags } = await lagsOf(request);
    const most = lags.reduce((one, other) => (other.lag > one.lag ? other : one));
    const links = linksOf(request);
    const path = ['consumer-groups', groupId];
    return {
      ...links.resource(
        'KafkaConsumerGroupLagSummary',
        [...path, 'lag-summary'],
        [['consumer-group', groupId], 'lag-summary'],
      ),
      cluster_id: store.clusterId,
      consumer_group_id: groupId,
      max_lag_consumer_id: most.consumer?.memberId ?? '',
      max_lag_instance_id: most.consumer?.instanceId ?? null,
      max_lag_client_id: most.consumer?.clientId ?? '',
      max_lag_topic_name: most.topic,
      max_lag_partition_id: most.partition,
      max_lag: most.lag,
      total_lag: lags.reduce((sum, { lag }) => sum + lag, 0),
      max_lag_consumer: links.to(...path, 'consumers', most.consumer?.memberId ?? ''),
      max_lag_partition: links.to('topics', most.topic, 'partitions', most.partition),
    };
  });

  app.get(`${base}/lags`, ofGroup, async (request) => {
    const links = linksOf(request);
    const { groupId, lags } = await lagsOf(request);
    return list(
      'KafkaConsumerLag',
      links.url('consumer-groups', groupId, 'lags'),
      lags.map((lag) => lagOf(links, groupId, lag)),
    );
  });

  app.get(
    `${base}/lags/:topic/partitions/:partition`,
    { config, schema: { hide: true, params: v3GroupPartitionParams, querystring: noQuery } },
    async (request) => {
      const { topic, partition } = request.params;
      const { groupId, lags } = await lagsOf(request);
      const found = lags.find((lag) => lag.topic === topic && lag.partition === partition);
      if (found) return lagOf(linksOf(request), groupId, found);
      throw new KafkaRestError(
        404,
        `Group '${groupId}' has committed no offset of partition ${partition} of topic ${topic}.`,
      );
    },
  );

  async function describe(request: FastifyRequest): Promise<GroupDescription> {
    const { group } = request.params as { group: string };
    const { description } = await groupDirectory.describe(group);
    sizes.set(group, description.members.length + description.partitions.length);
    return description;
  }

  /** The lags of a group, of partitions with a committed offset whose log can be reached. @throws KafkaRestError 404 if there are none */
  async function lagsOf(request: FastifyRequest): Promise<{ groupId: string; lags: Lag[] }> {
    const { groupId, members, partitions } = await describe(request);
    const byId = new Map(members.map((member) => [member.memberId, member]));
    const lags = partitions.flatMap(({ topic, partition, owner, committed, endOffset, lag }) => {
      if (committed === null || endOffset === null || lag === null || !request.may('read', 'topics', topic)) return [];
      const consumer = owner === null ? undefined : byId.get(owner);
      return [{ topic, partition, committed, endOffset, lag, consumer }];
    });
    if (lags.length > 0) return { groupId, lags };
    throw new KafkaRestError(404, `Group '${groupId}' has committed no offsets, so it has no lag.`);
  }

  function groupOf(links: Links, { groupId, state, assignor }: Described) {
    const path = ['consumer-groups', groupId];
    return {
      ...links.resource('KafkaConsumerGroup', path, [['consumer-group', groupId]]),
      cluster_id: store.clusterId,
      consumer_group_id: groupId,
      is_simple: false,
      partition_assignor: assignor,
      state: state.toUpperCase(),
      type: 'CONSUMER',
      is_mixed_consumer_group: false,
      // Any broker serves any group.
      coordinator: links.to('brokers', broker.registration.brokerId),
      consumers: links.to(...path, 'consumers'),
      lag_summary: links.to(...path, 'lag-summary'),
    };
  }
};

/** @throws KafkaRestError 404 */
function find(members: readonly Member[], { group, consumer }: { group: string; consumer: string }): Member {
  const found = members.find(({ memberId }) => memberId === consumer);
  if (found) return found;
  throw new KafkaRestError(404, `Group '${group}' has no consumer '${consumer}'.`);
}

/** The partitions of a member, in topics that the caller may read. */
function assignmentsOf(request: FastifyRequest, { assignment }: Member): { topic: string; partition: number }[] {
  return assignment
    .filter(({ topic }) => request.may('read', 'topics', topic))
    .flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })));
}

function consumerOf(links: Links, group: string, { memberId, instanceId, clientId }: Member) {
  const path = ['consumer-groups', group, 'consumers', memberId];
  return {
    ...links.resource('KafkaConsumer', path, [
      ['consumer-group', group],
      ['consumer', memberId],
    ]),
    cluster_id: links.cluster,
    consumer_group_id: group,
    consumer_id: memberId,
    instance_id: instanceId ?? null,
    client_id: clientId ?? '',
    assignments: links.to(...path, 'assignments'),
  };
}

function assignmentOf(
  links: Links,
  group: string,
  { memberId }: Member,
  { topic, partition }: { topic: string; partition: number },
) {
  const path = ['consumer-groups', group, 'consumers', memberId, 'assignments', topic, 'partitions', partition];
  return {
    ...links.resource('KafkaConsumerAssignment', path, [
      ['consumer-group', group],
      ['consumer', memberId],
      ['assignment', topic],
      ['partition', partition],
    ]),
    cluster_id: links.cluster,
    consumer_group_id: group,
    consumer_id: memberId,
    topic_name: topic,
    partition_id: partition,
    partition: links.to('topics', topic, 'partitions', partition),
    lag: links.to('consumer-groups', group, 'lags', topic, 'partitions', partition),
  };
}

function lagOf(links: Links, group: string, { topic, partition, committed, endOffset, lag, consumer }: Lag) {
  const path = ['consumer-groups', group, 'lags', topic, 'partitions', partition];
  return {
    ...links.resource('KafkaConsumerLag', path, [
      ['consumer-group', group],
      ['lag', topic],
      ['partition', partition],
    ]),
    cluster_id: links.cluster,
    consumer_group_id: group,
    topic_name: topic,
    partition_id: partition,
    consumer_id: consumer?.memberId ?? '',
    instance_id: consumer?.instanceId ?? null,
    client_id: consumer?.clientId ?? '',
    current_offset: committed,
    log_end_offset: endOffset,
    lag,
  };
}
