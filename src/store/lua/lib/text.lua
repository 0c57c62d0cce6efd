--[[ Numbers as text. Lua prints 1e14 as "1e+14", so whole numbers are never concatenated as they are. ]]
local function whole(number) return string.format('%d', number) end
