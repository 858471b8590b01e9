-- Word count: how often each word occurs in the values.
--
-- Map, and combine and reduce with the same function; the aggregator SUM does what these do, faster.

function map(key, value)
  for word in value:gmatch("%a+") do
    emit(word:lower(), 1)
  end
  count("lines")
end

local function sum(word, values)
  local total = 0
  for value in values do
    total = total + math.tointeger(value)
  end
  emit(word, total)
end

combine = sum
reduce = sum
