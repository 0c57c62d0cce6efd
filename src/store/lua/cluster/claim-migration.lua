#!lua flags=allow-oom
--- @include "lib/keys"
--[[ Compares the layout of the stored data with that of the program that opens it. If the data are older, or their migration
     was begun and not completed, this broker takes the migration lock. From that moment the data count as the new layout's:
     no older program opens them again, and those that are connected are refused (lib/require-open).

     KEYS    1 root
     ARGV    1 layout of this program  2 oldest layout that it migrates  3 name of this broker as the lock's holder
             4 time until the lock expires, ms
     Returns { 'OK', 'ready' }: there is nothing to migrate
             { 'OK', 'busy' }: another broker migrates the data
             { 'OK', 'claimed', layout that the data have reached }
     Errors  INVALID_CONFIG (field layout: the program is too old for the data, or the data for the program) ]]
local ours, oldest, holder, lock_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]

local layout, reached = unpack(redis.call('HMGET', keys.root, 'layout', 'migrated_to'))
layout = tonumber(layout or ours)
reached = tonumber(reached or layout)
if layout > ours then
  return {
    'INVALID_CONFIG',
    'The store holds data of layout ' .. layout .. ', which a newer version of Weirkeeper has written; this one reads layouts '
      .. oldest .. ' to ' .. ours .. '. Upgrade this server to that version or a newer one.',
    'layout', layout,
  }
end
if reached < oldest then
  return {
    'INVALID_CONFIG',
    'The store holds data of layout ' .. reached .. ', and this version of Weirkeeper converts none older than ' .. oldest
      .. '. Start an earlier version on it first, which brings it up to that.',
    'layout', reached,
  }
end
if layout == ours and reached == ours then return { 'OK', 'ready' } end

if not redis.call('SET', keys.migration, holder, 'NX', 'PX', lock_ms) then return { 'OK', 'busy' } end
-- A program of layout 2 does not check the layout, but refuses a store without `run_id`: so that field is renamed.
local run_id = redis.call('HGET', keys.root, 'run_id')
if run_id then
  redis.call('HSET', keys.root, 'run', run_id)
  redis.call('HDEL', keys.root, 'run_id')
end
redis.call('HSET', keys.root, 'layout', ours, 'migrated_to', reached)
return { 'OK', 'claimed', reached }
