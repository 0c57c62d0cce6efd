#!lua flags=allow-oom
--- @include "lib/ops"
--[[ Opens the store for a broker, at its start and after each loss of its connection: creates missing root nodes, and begins
     a new epoch if Redis runs as another run than before. Runs at the memory limit: reads and deletions must work there,
     also for a broker that has just connected.

     The upper part of a zxid is the epoch (guarantee N8). A run other than the last one may have lost acknowledged changes
     (a failover, an old backup), so the epoch rises before any new change. `epochs` stores where each epoch ended in the
     history that survived: a zxid of an ended epoch beyond its end belongs to a lost change. Whole epochs may be lost, and
     their numbers given again; a store that was emptied begins with the first. So each epoch begins at a random place, far
     from where others of its number began.

     KEYS    1 root
     ARGV    1 run id of Redis  2 layout of this program  3 transactions to retain in the event stream  4 proposed cluster id
             5 where a new epoch begins, below 2^31  6… paths of root nodes to create
     Returns { 'OK', zxid, new epoch ('1'/'0'), cluster id }
     Errors  INVALID_CONFIG (field layout: the data have another layout than the program's)
     Emits   one transaction of created, if a root node was missing ]]
local run_id, ours, event_retention, proposed_cluster_id = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local epoch_begin = tonumber(ARGV[5])
local FIRST_ROOT = 6

local EPOCH = 4294967296
-- Older data were migrated before (cluster/claim-migration.lua); this refuses a program that connects meanwhile.
local layout, migrated_to = unpack(redis.call('HMGET', keys.root, 'layout', 'migrated_to'))
layout = tonumber(layout or ours)
if layout ~= ours or migrated_to then
  return {
    'INVALID_CONFIG',
    'The store holds data of layout ' .. whole(layout) .. ', and this program reads only layout ' .. ours .. '.',
    'layout', layout,
  }
end
redis.call('HSET', keys.root, 'layout', ours)

local run = redis.call('HGET', keys.root, 'run')
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid'))
local new_epoch = zxid and run ~= run_id
local epoch = 0
if new_epoch then
  epoch = math.floor(zxid / EPOCH)
  redis.call('HSET', keys.epochs, whole(epoch), whole(zxid))
  epoch = epoch + 1
  -- Renewals may be lost, too: sessions/reap.lua takes this for an outage, however short it was (guarantee N6).
  redis.call('HSET', keys.root, 'reaped_at', 0)
end
if new_epoch or not zxid then
  local begin = whole(epoch * EPOCH + epoch_begin)
  redis.call('HSET', keys.epochs, whole(epoch) .. ':begin', begin)
  redis.call('HSET', keys.root, 'zxid', begin)
  root.zxid = begin
end
redis.call('HSET', keys.root, 'run', run_id)

if not txn.node('/') then
  local first = {
    czxid = 0, mzxid = 0, pzxid = 0, ctime = now_ms, mtime = now_ms,
    created = 0, version = 0, data_length = 0, num_children = 0, mode = 'persistent',
  }
  redis.call('HSET', keys.node('/'), 'stat', stat.of(first), 'data', '', 'type', 'text/plain; charset=utf-8')
  txn.loaded['/'] = nil
  root.nodes, root.ephemeral_nodes = '1', '0'
  redis.call('HSET', keys.root, 'nodes', root.nodes, 'ephemeral_nodes', root.ephemeral_nodes)
end
for i = FIRST_ROOT, #ARGV do
  if not txn.node(ARGV[i]) then txn.create(ARGV[i], '', 'text/plain; charset=utf-8', 'persistent') end
end
if not txn.node('/cluster/id') then
  txn.create('/cluster/id', '{"version":"1","id":"' .. proposed_cluster_id .. '"}', 'application/json', 'persistent')
  redis.call('HSET', keys.root, 'cluster_id', proposed_cluster_id)
end
txn.commit(event_retention)
return {
  'OK',
  tonumber(redis.call('HGET', keys.root, 'zxid')),
  new_epoch and '1' or '0',
  redis.call('HGET', keys.root, 'cluster_id'),
}
