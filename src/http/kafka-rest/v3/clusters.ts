// Version 3: the cluster and its brokers. They have no settings that clients may change, so the lists of these are empty.
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { noQuery } from '../../../../schemas/common.ts';
import { v3BrokerParams, v3ClusterParams } from '../../../../schemas/kafka-rest-v3.ts';
import { describeBroker, describeCluster, liveBrokers } from '../../../broker/metadata/cluster.ts';
import { hasCode } from '../../../core/service-error.ts';
import { KafkaRestError } from '../errors.ts';
import { type Links, list } from './links.ts';
import type { V3Options } from './options.ts';
import { replicaOf } from './partitions.ts';

type BrokerDescription = Awaited<ReturnType<typeof describeBroker>>;

export const v3ClusterRoutes: FastifyPluginAsyncZodOpenApi<V3Options> = async (app, { broker, linksOf }) => {
  const { store, partitions } = broker;
  const config = { access: 'identity', admission: 'work', timeLimit: 'read' } as const;
  const ofCluster = { config, schema: { hide: true, params: v3ClusterParams, querystring: noQuery } } as const;
  const ofBroker = { config, schema: { hide: true, params: v3BrokerParams, querystring: noQuery } } as const;

  app.get('/clusters', { config, schema: { hide: true, querystring: noQuery } }, async (request) => {
    const links = linksOf(request);
    return list('KafkaCluster', links.clusters, [await cluster(links)]);
  });

  app.get('/clusters/:cluster', ofCluster, async (request) => cluster(linksOf(request)));

  app.get('/clusters/:cluster/broker-configs', ofCluster, async (request) =>
    list('KafkaClusterConfig', linksOf(request).url('broker-configs'), []),
  );

  app.get('/clusters/:cluster/brokers', ofCluster, async (request) => {
    const links = linksOf(request);
    const brokers = await liveBrokers(store);
    return list(
      'KafkaBroker',
      links.url('brokers'),
      brokers.map((one) => brokerOf(links, one)),
    );
  });

  app.get('/clusters/:cluster/brokers/-/configs', ofCluster, async (request) =>
    list('KafkaBrokerConfig', linksOf(request).url('brokers', '-', 'configs'), []),
  );

  app.get('/clusters/:cluster/brokers/:broker', ofBroker, async (request) =>
    brokerOf(linksOf(request), await find(request.params.broker)),
  );

  app.get('/clusters/:cluster/brokers/:broker/configs', ofBroker, async (request) => {
    const { id } = await find(request.params.broker);
    return list('KafkaBrokerConfig', linksOf(request).url('brokers', id, 'configs'), []);
  });

  app.get('/clusters/:cluster/brokers/:broker/partition-replicas', ofBroker, async (request) => {
    const { id } = await find(request.params.broker);
    const links = linksOf(request);
    const held = [...partitions.all()].filter(
      ({ topic, replicas }) => replicas.includes(id) && request.may('read', 'topics', topic),
    );
    return list(
      'KafkaReplica',
      links.url('brokers', id, 'partition-replicas'),
      held.map((at) => replicaOf(links, at, id)),
    );
  });

  // Each cluster links to its ACLs, so clients ask for them.
  app.get('/clusters/:cluster/acls', { config, schema: { hide: true, params: v3ClusterParams } }, async () => {
    throw new KafkaRestError(
      404,
      'There are no ACLs: a policy says who may do what. GET /v1/access/me shows your own rights.',
    );
  });

  async function cluster(links: Links) {
    const { controller } = await describeCluster(store);
    return {
      ...links.resource('KafkaCluster', [], []),
      cluster_id: store.clusterId,
      ...(controller && { controller: links.to('brokers', controller.brokerId) }),
      acls: links.to('acls'),
      brokers: links.to('brokers'),
      broker_configs: links.to('broker-configs'),
      consumer_groups: links.to('consumer-groups'),
      topics: links.to('topics'),
      partition_reassignments: links.to('topics', '-', 'partitions', '-', 'reassignment'),
    };
  }

  /** @throws KafkaRestError 404 for a broker that is not alive */
  async function find(id: number): Promise<BrokerDescription> {
    try {
      return await describeBroker(store, id);
    } catch (error) {
      if (!hasCode(error, 'NO_NODE')) throw error;
      throw new KafkaRestError(404, `Broker ${id} could not be found: no live broker has this id.`);
    }
  }

  function brokerOf(links: Links, { id, host, port, rack }: BrokerDescription) {
    return {
      ...links.resource('KafkaBroker', ['brokers', id], [['broker', id]]),
      cluster_id: store.clusterId,
      broker_id: id,
      host,
      port,
      rack,
      configs: links.to('brokers', id, 'configs'),
      partition_replicas: links.to('brokers', id, 'partition-replicas'),
    };
  }
};
