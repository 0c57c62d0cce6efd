#!lua flags=allow-oom
--- @include "lib/keys"
--[[ Extends the migration lock, and notes which layout the data has reached. At the program's own layout the migration is
     complete: the lock is released, and the store can be opened.

     KEYS    1 root
     ARGV    1 name of this broker as the lock's holder  2 time until the lock expires, ms  3 layout that the data has reached
     Returns { 'OK' }
     Errors  STORE_UNAVAILABLE (another broker holds the lock) ]]
local holder, lock_ms, reached = ARGV[1], ARGV[2], tonumber(ARGV[3])

if redis.call('GET', keys.migration) ~= holder then
  return { 'STORE_UNAVAILABLE', 'Another broker has taken over the conversion of the stored data.' }
end
redis.call('PEXPIRE', keys.migration, lock_ms)
if tonumber(redis.call('HGET', keys.root, 'layout')) == reached then
  redis.call('HDEL', keys.root, 'migrated_to')
  redis.call('DEL', keys.migration)
else
  redis.call('HSET', keys.root, 'migrated_to', reached)
end
return { 'OK' }
