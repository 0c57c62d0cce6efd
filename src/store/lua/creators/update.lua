#!lua flags=allow-oom
--- @include "lib/require-open"
--- @include "lib/creators"
--- @include "lib/arguments"
--[[ Sets what the controller knows of creators: the bytes of the logs of their topics, and their limits by its policy. Runs at the
     memory limit, as it lets others know that there is room again.

     KEYS    1 root
     ARGV    for each creator: name, bytes of its logs, limits of nodes, bytes and partitions (-1 = none)
     Returns { 'OK' }
     Errors  none ]]
while arguments.at < #ARGV do
  local number = redis.call('HGET', keys.creators, arguments.next())
  local log_bytes, nodes, bytes, partitions = arguments.next(), arguments.next(), arguments.next(), arguments.next()
  if number then
    redis.call('HSET', keys.creator(number), 'log_bytes', log_bytes, 'max_nodes', nodes, 'max_bytes', bytes, 'max_partitions', partitions)
  end
end
return { 'OK' }
