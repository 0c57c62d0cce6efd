--[[ Defines the functions of a library when one of them is first used. Redis runs a script from its first line for each call, and each
     function that is defined there costs a fifth of a microsecond or more; most calls need few of them. A field that the library
     has from the start, also `false`, defines nothing. ]]
local function late(library, define)
  return setmetatable(library, {
    __index = function(_, name)
      setmetatable(library, nil)
      define()
      return library[name]
    end,
  })
end
