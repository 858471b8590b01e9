-- Join: orders with the customers that made them, both rows of text with tabs.
--
--   customer/17    name <tab> country
--   order/5/17     amount <tab> date        (the order's number, the customer's)
--
-- Map gives both kinds the customer's number as their key, and a mark for what they are. For each
-- customer, reduce sees the values in no promised order, so it keeps the orders until it has the customer.
-- Output: order/5 -> name <tab> country <tab> amount.

-- A row that is not as it should be ends the attempt as that record's fault; a job with bad_records
-- skips it and goes on.
local function fields(row, count)
  local found = {}
  for field in (row .. "\t"):gmatch("([^\t]*)\t") do
    found[#found + 1] = field
  end
  if #found ~= count then
    error(("%d fields in the row, not %d"):format(#found, count))
  end
  return found
end

function map(key, value)
  local customer = key:match("^customer/(%d+)$")
  if customer then
    local f = fields(value, 2)
    emit(customer, "c\t" .. f[1] .. "\t" .. f[2])
    return
  end
  local number, by = key:match("^order/(%d+)/(%d+)$")
  if not number then
    count("other keys")
    return
  end
  emit(by, "o\t" .. number .. "\t" .. fields(value, 2)[1])
end

-- More orders of one customer than this are an error rather than more memory than the job may use.
local orders_max = math.tointeger(params.orders_max or 100000)

function reduce(customer, values)
  local who
  local orders = {}
  for value in values do
    local kind, a, b = value:match("^(.)\t([^\t]*)\t(.*)$")
    if kind == "c" then
      who = a .. "\t" .. b
    else
      if #orders == orders_max then
        error("customer " .. customer .. " has more orders than " .. orders_max)
      end
      orders[#orders + 1] = { a, b }
    end
  end
  if not who then
    count("orders without customer", #orders)
    return
  end
  for _, order in ipairs(orders) do
    emit("order/" .. order[1], who .. "\t" .. order[2])
  end
end
