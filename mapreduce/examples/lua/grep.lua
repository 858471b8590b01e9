-- Grep: the records whose value has a pattern, as Lua knows them, or a text as it is.
--
-- Parameters: pattern; plain = "true" for a text; max_bytes: longer values are not looked at.
-- Wrong parameters are told when the job is submitted: what stands outside of functions runs then too.

local pattern = assert(params.pattern, "the parameter pattern is missing")
local plain = params.plain == "true"
local max_bytes = math.tointeger(params.max_bytes or 1 << 20)
assert(max_bytes, "the parameter max_bytes is no integer")
-- A malformed pattern is an error here, and not at the first record.
string.find("", pattern, 1, plain)

function map(key, value)
  if #value > max_bytes then
    count("too long")
  elseif value:find(pattern, 1, plain) then
    emit(key, value)
    count("matches")
  end
end
