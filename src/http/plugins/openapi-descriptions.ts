// What a user of an operation should know beyond its summary, for the OpenAPI document, by `operationId`. A route that has a
// description of its own, beside its summary, is not listed here.

export const descriptions: Readonly<Record<string, string>> = {
  'resources.list': 'For people with curl: each resource with its methods, and what each method does.',
  'root.get': 'A browser is redirected to the console; other clients get JSON.',

  'nodes.get':
    'Returns the data as they were set, with the `stat` in the header `Weir-Stat` and an `ETag`. `view` selects JSON instead: the node with its data, its stat, its children, or a subtree. A read shows the newest change; with `read=local` it is served from the memory of the broker. With `wait` and `If-None-Match` it is a long poll: `*` waits until the node is deleted, `"0"` until it exists, a tag until it changes.',
  'nodes.put':
    'The body is the data, whatever its type; the `Content-Type` is stored with them. Without a condition it sets or creates. `If-None-Match: *` only creates, `If-Match` or `version` only sets the version that was read. `parents=true` creates missing parents. `mode` and `ttl` count when the node is created: an ephemeral node needs a session.',
  'nodes.createSequential':
    'POST to `/v1/nodes/app/task-` creates a node such as `/app/task-0000000001`. The parent counts, and never gives a number twice. The response has the path.',
  'nodes.delete':
    'With `If-Match` or `version` only if nobody has changed the node since. A node with children is refused unless `recursive=true`, which deletes the subtree in one transaction.',
  'nodes.copy':
    'With `move` the nodes at `from` are deleted in the same transaction. `to` must not exist, and its parent must. Ephemeral nodes are left out of a copy, and counted; a subtree that has some is not moved. Larger subtrees are exported and imported.',
  'nodes.import':
    'Takes the lines of an export, or others: only `path` must be there. They are imported in chunks, each a transaction of its own; a problem names the line, and what was done before it. A node that has the same content already is left as it is, so an import may be repeated. `dryRun` counts, and changes nothing.',
  multi:
    'Operations are `check`, `create`, `set` and `delete`. They are carried out in their order, and each sees the effects of those before it. If one fails, none has any effect, and the problem says which one it was (`failed`, counted from 0).',

  'fences.list': 'A fence is a name with the highest token that the partition has seen in `Weir-Fence`.',
  'fences.delete':
    'For a fence that got a token too high by mistake. A fence that is not used for 7 days is deleted by itself.',

  'sessions.create':
    'The response has the handle of the session, its only proof: send it as `Weir-Session`. Any request that carries it renews the session. When none does so for the TTL, the session ends, and its ephemeral nodes are deleted in one transaction.',
  'sessions.renew':
    'Restarts the TTL. Every other request with the session as `Weir-Session` does so as well. 410 says that the session has ended: create another one.',
  'sessions.renewSelf': 'The same as with the handle in the URL, but the handle reaches no log of a proxy.',
  'sessions.getSelf': 'Needs the handle, and shows when the session would end without a renewal.',
  'sessions.end':
    'By its handle; from the loopback address of the server, or as an administrator, also by the id that a list shows.',
  'sessions.endSelf': 'The ephemeral nodes are deleted in one transaction, at once.',

  'access.me':
    'The identity, its rights and its limits, with what of them is used. Without a policy everybody may do everything: `identity` is null, and `admin` true.',
  'access.check': 'Says what is missing if it may not. Another identity than the own one needs an administrator.',
  'access.listTokens': 'Only those that were derived by `POST /v1/access/tokens`; tokens of the policy are not listed.',
  'access.revokeToken':
    'Its sockets and event streams are closed. The identity itself may do so, and an administrator.',

  'cluster.get':
    'The `store` is the Redis behind the brokers: `unreachable` lists servers that do not reply, `usedMemoryBytes` and `maxMemoryBytes` how full it is.',
  'brokers.list': 'With what each broker reports about itself: version, connections, partitions that it leads.',
  'brokers.get': 'A broker that is not alive is not found.',

  'topics.create':
    'Settings have the names of Kafka, such as `retention.ms` and `cleanup.policy`; those that are not given have their defaults. `replicationFactor` says how many brokers may maintain each log: they hold no copies.',
  'topics.list': 'In pages: `next` of a response is `after` of the next request.',
  'topics.get': 'The offsets and sizes of a partition whose store is away are null, with `error`.',
  'topics.alter':
    'The number of partitions can only grow. A setting that is null gets its default again. What is not named stays.',
  'topics.delete': 'Its committed offsets go with it. A topic of the same name that is created later is another topic.',
  'topics.offsets':
    'With a number of ms as `at`: in each partition the offset of the first record with this timestamp or a later one.',
  'partitions.get':
    'The leader maintains the log. Every broker appends to the partition and reads from it, so none needs to be found first.',

  'records.produce':
    'JSON is a list of records, NDJSON a record on each line, and any other type is the value of a single record, whose key, partition and headers are in the query and in headers `Weir-Record-…`. The records of one request for one partition get consecutive offsets, and are all appended or none. Repeat a request whose response was lost with the same `Idempotency-Key`.',
  'records.produceToPartition': 'As `POST /v1/topics/{topic}/records`, with all records for this partition.',
  'records.search':
    'For people and tools that look around. A call looks at a bounded number of records: `end.next` is the `position` at which the next call goes on.',
  'records.fetch':
    'Begins at `offset` (a number, `earliest` or `latest`) or at `timestamp`. With `wait` the response comes when there are records, or when the time is over. `nextOffset` is the offset for the next call. `Accept` selects JSON, NDJSON, or whole batches as they are stored.',
  'records.delete': 'They cannot be read any more, and the log begins at that offset.',
  'records.stream':
    'Goes on until the client ends it. Each message has the position in all partitions as its id, so an `EventSource` that reconnects goes on where it was.',

  'producers.register':
    'The id and epoch, with a sequence for each request, let a request be repeated at any time without appending twice.',

  'groups.list': 'In pages: `next` of a response is `after` of the next request.',
  'groups.get': 'With the owner, the committed offset and the lag of each partition.',
  'groups.delete': 'A group that has members is refused.',
  'groups.heartbeat':
    'Needs the member secret as `Weir-Member`. Partitions that are missing in `owned` are released, and other members get them. The response has the partitions that the member should own now.',
  'groups.leave': 'Needs the member secret as `Weir-Member`. The committed offsets stay.',
  'groups.commit':
    'A committed offset is that of the next record to process. A member commits for its own partitions only, with its secret as `Weir-Member` and its epoch.',
  'groups.offsets': 'Where the group goes on in each partition.',
  'groups.deleteOffsets': 'The group then begins there as its reset policy says.',
  'groups.resetOffsets': 'To an end of the logs, a moment, or offsets. With `dryRun` it only says what would be set.',

  'watch.stream':
    'Each message is a whole transaction, with its zxid as the id. It begins after `since`, or now, and misses nothing while history is kept; an `EventSource` that reconnects goes on where it was. A bookmark at least every 10 s says that everything up to its zxid was sent.',
  'watch.socket':
    'Any number of watches on one connection, each begun and ended by a frame. `/v1/socket` has watches as well, beside all other operations.',
  'events.list':
    'Goes back as far as history is kept, and shows what the caller may read. `next` of a response is `before` of the next request.',

  'health.live': 'Always 200 while the process can reply; for restarts. Use `/health/ready` to route requests.',
  metrics:
    'Needs no token if the policy has `public: [metrics]`. Facts about all groups come from the controller alone.',
};
