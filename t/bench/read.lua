-- Progress reads: a random player at each request, with its own token. The limit is measured with this script, too.
-- With BENCH_COMPOSE=1 each request is put together when it is made, as a client does it; otherwise all are ready before the
-- load begins, and the load generator does next to nothing.
-- A player with an ETag says that he has that document.
-- With BENCH_WALK=1 each thread reads one player after the other instead.
local common = dofile(os.getenv("BENCH_DIR") .. "/common.lua")

local paths, headers, requests, count = {}, {}, {}, 0
local random = math.random

function init()
	common.seed()
	local names, tokens, etags = common.players()
	for i, name in ipairs(names) do
		paths[i] = "/v1/seasons/" .. common.season .. "/players/" .. name .. "/progress"
		headers[i] = { ["Authorization"] = "Bearer " .. tokens[i] }
		if etags[i] ~= "" then
			headers[i]["If-None-Match"] = etags[i]
		end
		requests[i] = wrk.format("GET", paths[i], headers[i])
	end
	count = #requests
end

function request()
	return requests[random(count)]
end

if os.getenv("BENCH_COMPOSE") == "1" then
	function request()
		local i = random(count)
		return wrk.format("GET", paths[i], headers[i])
	end
end

if os.getenv("BENCH_WALK") == "1" then
	local at = 0
	function request()
		at = at % count + 1
		return requests[at]
	end
end
