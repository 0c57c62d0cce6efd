#!lua flags=allow-oom
--- @include "lib/ops"
--[[ Opens the store for a broker, at start and after every loss of the connection: makes the tree's roots where they are
     missing, and starts a new epoch if this is another run of the store than before. Let through at the memory limit: reads and
     deletions must go on there, also for a broker that has just connected.

     The upper part of a zxid is the epoch (guarantee N8). A run that is not the last one may have lost acknowledged
     changes (a failover, an old backup), so the epoch rises before any new change; `epochs` remembers where each epoch
     ended in the history that survived. A zxid of an ended epoch beyond that end belongs to a lost change. What was lost may
     be whole epochs, so that their numbers are given again, and a store that was emptied begins with the first: so each
     epoch begins at a place of its own, far from where others of its number had theirs.

     KEYS    1 root
     ARGV    1 run id of the server  2 layout version of this program  3 transactions to keep  4 proposed cluster id
             5 where an epoch that begins now is to begin, below 2^31  6… roots to make
     Returns { 'OK', zxid, new epoch ('1'/'0'), cluster id }
     Errors  INVALID_CONFIG (field layout: another version of the program has the data)
     Emits   one transaction of created, if a root was missing ]]
local EPOCH = 4294967296
-- Older data has been converted before (lua/cluster/claim-migration.lua); this is for a program that comes between.
local layout, migrated_to = unpack(redis.call('HMGET', keys.root, 'layout', 'migrated_to'))
layout = tonumber(layout or ARGV[2])
if layout ~= tonumber(ARGV[2]) or migrated_to then
  return {
    'INVALID_CONFIG',
    'The store holds data of layout ' .. whole(layout) .. ', and this program reads only layout ' .. ARGV[2] .. '.',
    'layout', layout,
  }
end
redis.call('HSET', keys.root, 'layout', ARGV[2])

local run = redis.call('HGET', keys.root, 'run')
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid'))
local new_epoch = zxid and run ~= ARGV[1]
local epoch = 0
if new_epoch then
  epoch = math.floor(zxid / EPOCH)
  redis.call('HSET', keys.epochs, whole(epoch), whole(zxid))
  epoch = epoch + 1
  -- Renewals may be lost, too: to the reaper this is an outage, however short it was (guarantee N6).
  redis.call('HSET', keys.root, 'reaped_at', 0)
end
if new_epoch or not zxid then
  local begin = whole(epoch * EPOCH + tonumber(ARGV[5]))
  redis.call('HSET', keys.epochs, whole(epoch) .. ':begin', begin)
  redis.call('HSET', keys.root, 'zxid', begin)
end
redis.call('HSET', keys.root, 'run', ARGV[1])

if not txn.node('/') then
  local root = {
    czxid = 0, mzxid = 0, pzxid = 0, ctime = now_ms, mtime = now_ms,
    created = 0, version = 0, data_length = 0, num_children = 0, mode = 'persistent',
  }
  redis.call('HSET', keys.node('/'), 'stat', stat.of(root), 'data', '', 'type', 'text/plain; charset=utf-8')
  txn.loaded['/'] = nil
end
for i = 6, #ARGV do
  if not txn.node(ARGV[i]) then txn.create(ARGV[i], '', 'text/plain; charset=utf-8', 'persistent') end
end
if not txn.node('/cluster/id') then
  txn.create('/cluster/id', '{"version":"1","id":"' .. ARGV[4] .. '"}', 'application/json', 'persistent')
  redis.call('HSET', keys.root, 'cluster_id', ARGV[4])
end
txn.commit(tonumber(ARGV[3]))
return {
  'OK',
  tonumber(redis.call('HGET', keys.root, 'zxid')),
  new_epoch and '1' or '0',
  redis.call('HGET', keys.root, 'cluster_id'),
}
