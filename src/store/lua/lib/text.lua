--[[ Numbers as text. Lua prints 1e14 as "1e+14", so whole numbers are never concatenated as they are. ]]
local function whole(number) return string.format('%d', number) end

--- A whole number in a field of an error. Numbers in replies are rounded by the client's parser from about 2^53 - 64 on; texts are not.
local function exact(number) return { whole(number) } end
