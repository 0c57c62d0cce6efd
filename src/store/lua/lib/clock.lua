--[[ The one clock of the service: the store's. Brokers' clocks decide nothing. ]]
local now_ms
do
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end
