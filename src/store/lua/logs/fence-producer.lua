#!lua
--- @include "lib/log-producer"
--[[ Tells a log the new epoch of a producer, so that it refuses records of older epochs. A log that is gone needs no telling.

     KEYS    1 partition
     ARGV    1 producer id  2 epoch  3 identity to which it belongs, or ''
     Returns { 'OK' }
     Errors  none ]]
local id, epoch, identity = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('EXISTS', log.partition) == 0 then return { 'OK' } end
local state = producer.find(id)
if not state or state.epoch < epoch then producer.save(id, producer.begin(epoch, identity ~= '' and identity or nil)) end
return { 'OK' }
