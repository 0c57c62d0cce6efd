#!lua flags=allow-oom
--- @include "lib/keys"
--[[ Compares the layout of the stored data with that of a program that opens it. If the data is older, or its conversion was
     begun and not finished, it takes the lock of the conversion for this broker. From that moment on the data counts as the
     new layout's: no older program opens it again, and those that are connected are refused (lib/require-open).

     KEYS    1 root
     ARGV    1 layout of this program  2 oldest layout that it converts  3 name of this broker as the holder of the lock
             4 how long the lock holds, ms
     Returns { 'OK', 'ready' } if there is nothing to convert, { 'OK', 'busy' } while another broker converts it, or
             { 'OK', 'claimed', layout that the data has reached }
     Errors  INVALID_CONFIG (field layout: the program is too old for the data, or the data for the program) ]]
local ours, oldest = tonumber(ARGV[1]), tonumber(ARGV[2])
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

if not redis.call('SET', keys.migration, ARGV[3], 'NX', 'PX', ARGV[4]) then return { 'OK', 'busy' } end
-- Programs of layout 2 look for the run under this name, and for no layout: without it they are refused, too.
local run_id = redis.call('HGET', keys.root, 'run_id')
if run_id then
  redis.call('HSET', keys.root, 'run', run_id)
  redis.call('HDEL', keys.root, 'run_id')
end
redis.call('HSET', keys.root, 'layout', ours, 'migrated_to', reached)
return { 'OK', 'claimed', reached }
