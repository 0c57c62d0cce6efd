#!lua flags=allow-oom
--- @include "lib/keys"
--[[ Keeps the lock of a conversion, and notes how far it has come. When it has come to the layout of the program it is done:
     the lock is given up and the store can be opened.

     KEYS    1 root
     ARGV    1 name of this broker as the holder of the lock  2 how long the lock holds, ms  3 layout that the data has reached
     Returns { 'OK' }
     Errors  STORE_UNAVAILABLE (the lock has passed to another broker) ]]
if redis.call('GET', keys.migration) ~= ARGV[1] then
  return { 'STORE_UNAVAILABLE', 'Another broker has taken over the conversion of the stored data.' }
end
redis.call('PEXPIRE', keys.migration, ARGV[2])
if tonumber(redis.call('HGET', keys.root, 'layout')) == tonumber(ARGV[3]) then
  redis.call('HDEL', keys.root, 'migrated_to')
  redis.call('DEL', keys.migration)
else
  redis.call('HSET', keys.root, 'migrated_to', ARGV[3])
end
return { 'OK' }
