--[[ The only clock that decides anything: the time of Redis in ms, read once for each call of a script. ]]
local now_ms
do
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end
