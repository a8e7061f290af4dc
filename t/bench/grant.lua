-- Single XP grants of a game server: a random player and a fresh idempotency key at each request.
local common = dofile(os.getenv("BENCH_DIR") .. "/common.lua")

-- A key of this length stands in the prepared requests, to be cut out again.
local PLACE = "@@@@@@@@"
local heads, tails, count = {}, {}, 0
local prefix, number = "", 0
local random = math.random

function init()
	common.seed()
	prefix = common.key_prefix()
	for i, name in ipairs((common.players())) do
		local text = wrk.format("POST", "/v1/seasons/" .. common.season .. "/players/" .. name .. "/xp-grants", {
			["Authorization"] = "Bearer " .. common.server_token,
			["Content-Type"] = "application/json",
			["Idempotency-Key"] = PLACE,
		}, string.format('{"amount":%d,"source":"match"}', random(10, 100)))
		local from, to = text:find(PLACE, 1, true)
		heads[i] = text:sub(1, from - 1) .. prefix
		tails[i] = text:sub(to + 1)
	end
	count = #heads
end

function request()
	local i = random(count)
	number = number + 1
	return heads[i] .. number .. tails[i]
end
