--[[ Numbers as text. Lua prints 1e14 as "1e+14", so a whole number is formatted before it is concatenated. ]]
local function whole(number) return string.format('%d', number) end

--- A whole number in a field of an error. The client's parser rounds numbers above about 2^53 - 64; it does not round texts.
local function exact(number) return { whole(number) } end
