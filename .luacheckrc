-- What a script may use: the sandbox of Redis (Lua 5.1), without what would make replies differ from call to call, and
-- without what its sandbox has and no script needs. scripts/lint-lua.mjs checks each script with its includes in place.
std = {
  read_globals = {
    'KEYS', 'ARGV', 'redis', 'cjson', 'cmsgpack', 'struct',
    'assert', 'error', 'ipairs', 'math', 'next', 'pairs', 'pcall', 'select', 'string', 'table', 'tonumber', 'tostring',
    'setmetatable', 'type', 'unpack',
  },
}
max_line_length = false
