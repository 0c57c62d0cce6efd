#!lua
--- @include "lib/log-producer"
--[[ Tells a log a producer's new epoch, so that nothing of an older one is appended any more. A log that is gone needs
     no telling.
     KEYS    1 partition
     ARGV    1 producer id  2 epoch
     Returns { 'OK' }
     Errors  none ]]
if redis.call('EXISTS', log.partition) == 0 then return { 'OK' } end
local epoch = tonumber(ARGV[2])
local state = producer.find(ARGV[1])
if not state or state.epoch < epoch then producer.save(ARGV[1], producer.begin(epoch)) end
return { 'OK' }
