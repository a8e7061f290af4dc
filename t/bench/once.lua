-- Calls that a player makes once: each player of BENCH_PLAYERS sends each body of the file BENCH_BODIES (one a line) to its
-- own BENCH_CALL (claims, purchases), with its own token and a fresh idempotency key; all send the first body before any
-- sends the second. BENCH_THREADS threads share the players out. The load ends when everything is sent, or with its time.
local common = dofile(os.getenv("BENCH_DIR") .. "/common.lua")

local threads = tonumber(os.getenv("BENCH_THREADS"))
local heads, tails = {}, {}
local player, body, calls = 0, 1, 0
local begun_us

-- Of wrk's own clocks none can be read before the end.
local ffi = require("ffi")
ffi.cdef("struct bench_time { long s; long ns; }; int clock_gettime(int, struct bench_time *);")
local moment = ffi.new("struct bench_time")
local CLOCK_MONOTONIC = 1

local function now_us()
	ffi.C.clock_gettime(CLOCK_MONOTONIC, moment)
	return tonumber(moment.s) * 1e6 + tonumber(moment.ns) / 1e3
end

function init()
	local prefix = common.key_prefix()
	local names, tokens = common.players()
	for i = thread_number, #names, threads do
		local path = "/v1/seasons/" .. common.season .. "/players/" .. names[i] .. "/" .. os.getenv("BENCH_CALL")
		local text = wrk.format("POST", path, {
			["Authorization"] = "Bearer " .. tokens[i],
			["Content-Type"] = "application/json",
		})
		heads[#heads + 1] = text:sub(1, -3)
	end
	for line in io.lines(os.getenv("BENCH_BODIES")) do
		local number = #tails + 1
		tails[number] = string.format("Idempotency-Key: %s%d\r\nContent-Length: %d\r\n\r\n%s", prefix, number, #line, line)
	end
	assert(#heads > 0 and #tails > 0, "nothing to send")
end

-- wrk makes the first thread's first request to see whether it is one, and throws it away.
function request()
	calls = calls + 1
	if calls <= 2 then
		begun_us = now_us()
	end
	player = player + 1
	if player > #heads then
		player, body = 1, body + 1
	end
	if body > #tails then
		ran_us = ran_us or now_us() - begun_us
		wrk.thread:stop()
		return heads[player] .. tails[1]
	end
	return heads[player] .. tails[body]
end
