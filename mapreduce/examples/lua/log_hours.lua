-- Parsing: requests and bytes for each hour and status, from lines of a web server's log:
--
--   10.0.0.1 - - [27/Nov/2026:21:25:00 +0000] "GET /a HTTP/1.1" 200 5120
--
-- By batch: sums are kept in a table for a batch, so that few pairs are emitted. `pairs` gives the keys
-- of a table in the same order whenever the same script sees the same records.

local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6,
                 Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 }

function map_batch(records)
  local requests, bytes = {}, {}
  for key, line in records do
    local day, month, year, hour, status, size =
      line:match('%[(%d%d)/(%a%a%a)/(%d%d%d%d):(%d%d).-%] ".-" (%d%d%d) (%S+)')
    if day and months[month] then
      local cell = ("%s-%02d-%s %s:00 %s"):format(year, months[month], day, hour, status)
      requests[cell] = (requests[cell] or 0) + 1
      bytes[cell] = (bytes[cell] or 0) + (math.tointeger(size) or 0)
    else
      count("lines that were not understood")
    end
  end
  for cell, n in pairs(requests) do
    emit(cell, n .. " " .. bytes[cell])
  end
end

local function sum(cell, values)
  local requests, bytes = 0, 0
  for value in values do
    local n, size = value:match("^(%d+) (%d+)$")
    requests = requests + math.tointeger(n)
    bytes = bytes + math.tointeger(size)
  end
  emit(cell, requests .. " " .. bytes)
end

combine = sum
reduce = sum
