-- Reads or grants of players without number: names are made when they are asked for, and one game server asks for all of
-- them. BENCH_KIND: read or grant; BENCH_COUNT: players, size-00000001 and on (t/bench/sizes).
local common = dofile(os.getenv("BENCH_DIR") .. "/common.lua")

local count = tonumber(os.getenv("BENCH_COUNT"))
local grants = os.getenv("BENCH_KIND") == "grant"
local NAME, KEY = "size-########", "@@@@@@@@"
local parts, prefix, number = {}, "", 0
local random, format = math.random, string.format

-- What stands before, between and behind the places.
local function cut(text, ...)
	local from = 1
	for _, place in ipairs({ ... }) do
		local first, last = text:find(place, from, true)
		parts[#parts + 1] = text:sub(from, first - 1)
		from = last + 1
	end
	parts[#parts + 1] = text:sub(from)
end

function init()
	common.seed()
	prefix = common.key_prefix()
	local path = "/v1/seasons/" .. common.season .. "/players/" .. NAME
	local headers = { ["Authorization"] = "Bearer " .. common.server_token }
	if grants then
		headers["Content-Type"] = "application/json"
		headers["Idempotency-Key"] = KEY
		cut(wrk.format("POST", path .. "/xp-grants", headers, '{"amount":25,"source":"match"}'), NAME, KEY)
	else
		cut(wrk.format("GET", path .. "/progress", headers), NAME)
	end
end

function request()
	local name = format("size-%08d", random(count))
	if not grants then
		return parts[1] .. name .. parts[2]
	end
	number = number + 1
	return parts[1] .. name .. parts[2] .. prefix .. number .. parts[3]
end
