--[[ Reads ARGV from the front, for scripts that take several lists of any length. ]]
local arguments = { at = 0 }

function arguments.next()
  arguments.at = arguments.at + 1
  return ARGV[arguments.at]
end

function arguments.number() return tonumber(arguments.next()) end

--- A list as it is sent: how many rows, then the words of each. Rows of one word come as the words themselves.
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
