--[[ Pages of a sorted set in the order of its scores, and of members within the same score. Scores may only rise: a member whose score
     rises meanwhile is on a later page again, and none that stays is left out. ]]
local by_score = {}

--- The rank of the first member behind (score, member).
function by_score.rank_behind(key, score, member)
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', key, '-inf', score)
  -- Members of the same score are in the order of their names.
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZRANGE', key, middle, middle)[1] <= member then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

--- Returns at most `limit` members behind (score, member), each followed by its score, and whether more follow ('1'/'0').
function by_score.page(key, score, member, limit)
  local rank = score == '' and 0 or by_score.rank_behind(key, score, member)
  local found = redis.call('ZRANGE', key, rank, rank + limit, 'WITHSCORES')
  local more = '0'
  if #found > 2 * limit then
    more = '1'
    found[2 * limit + 1], found[2 * limit + 2] = nil, nil
  end
  return found, more
end
