-- Batches of XP grants of a game server: BENCH_BATCH players a request, none twice, with a fresh idempotency key. The
-- bodies are prepared in pieces; the same key stands between all of them, for a key is a player's own.
local common = dofile(os.getenv("BENCH_DIR") .. "/common.lua")

local TEMPLATES = 64
local KEY_DIGITS = 9
local size = tonumber(os.getenv("BENCH_BATCH") or "500")
local templates = {}
local prefix, number = "", 0
local random, concat = math.random, table.concat

local function template(names, from)
	local pieces = {}
	for i = 0, size - 1 do
		local name = names[(from + i) % #names + 1]
		pieces[2 * i + 1] = (i == 0 and "" or '"},') .. string.format(
			'{"player":"%s","amount":%d,"source":"match","idempotency_key":"%s', name, random(10, 100), prefix)
		pieces[2 * i + 2] = false
	end
	pieces[2 * size + 1] = '"}]}'
	return pieces
end

-- All keys have one length, so all bodies of a template have, too.
local function length_of(pieces)
	local length = size * KEY_DIGITS
	for i = 1, #pieces, 2 do
		length = length + #pieces[i]
	end
	return length
end

function init()
	common.seed()
	prefix = common.key_prefix()
	local names = common.players()
	assert(size <= #names, "a batch is larger than the number of players")
	local start = '{"grants":['
	for t = 1, TEMPLATES do
		local pieces = template(names, random(#names))
		local request_head = wrk.format("POST", "/v1/seasons/" .. common.season .. "/xp-grants", {
			["Authorization"] = "Bearer " .. common.server_token,
			["Content-Type"] = "application/json",
		}, string.rep("x", #start + length_of(pieces)))
		local _, to = request_head:find("\r\n\r\n", 1, true)
		pieces[1] = request_head:sub(1, to) .. start .. pieces[1]
		templates[t] = pieces
	end
end

function request()
	local pieces = templates[random(TEMPLATES)]
	number = number + 1
	local key = string.format("%09d", number)
	for i = 2, 2 * size, 2 do
		pieces[i] = key
	end
	return concat(pieces)
end
