--[[ Reads ARGV one by one, for scripts that take several lists of any length. ]]
local arguments = { at = 0 }

function arguments.next()
  arguments.at = arguments.at + 1
  return ARGV[arguments.at]
end

function arguments.number() return tonumber(arguments.next()) end

--- Reads a list: the number of rows, then `width` values of each. With width 1, a row is the value itself.
function arguments.rows(width)
  local rows = {}
  for i = 1, arguments.number() do
    if width == 1 then
      rows[i] = arguments.next()
    else
      local row = {}
      for j = 1, width do row[j] = arguments.next() end
      rows[i] = row
    end
  end
  return rows
end
