-- What the load scripts for wrk share. Everything that costs time happens in init(): a request must be a string that is
-- ready, or a few that are put together, so that the load generator leaves the machine to what is measured.
--
-- Environment: BENCH_PLAYERS (a file, "player token" a line, or "player token etag"), BENCH_SEASON, BENCH_SERVER_TOKEN, BENCH_RUN (makes keys
-- unique), BENCH_THINK_MS (mean think time, 0: none), BENCH_SETTLE_MS (before a connection's first think time ends,
-- so that opening connections is not measured).
local common = {}

local threads = {}
local think_ms = tonumber(os.getenv("BENCH_THINK_MS") or "0")
local settle_ms = tonumber(os.getenv("BENCH_SETTLE_MS") or "0")

common.season = os.getenv("BENCH_SEASON")
common.server_token = os.getenv("BENCH_SERVER_TOKEN")

-- Called by wrk in its main state, once a thread.
function setup(thread)
	threads[#threads + 1] = thread
	thread:set("thread_number", #threads)
end

-- What makes this thread's idempotency keys differ from all others.
function common.key_prefix()
	return string.format("%s-%d-", os.getenv("BENCH_RUN"), thread_number)
end

function common.seed()
	local time = os.time()
	math.randomseed(time * 64 + thread_number)
	for _ = 1, 16 do
		math.random()
	end
end

-- The players' names, tokens and, where they have one, ETags, in the file's order, which is random.
function common.players()
	local names, tokens, etags = {}, {}, {}
	for line in io.lines(os.getenv("BENCH_PLAYERS")) do
		local number = #names + 1
		names[number], tokens[number], etags[number] = line:match("^(%S+) (%S+) ?(%S*)$")
	end
	return names, tokens, etags
end

-- Uniform think times, as wrk asks for them; a connection's first is what would be left of one that runs already, so
-- that the load is even from the start.
if think_ms > 0 then
	local connections = tonumber(os.getenv("BENCH_CONNECTIONS"))
	local asked = 0
	function delay()
		asked = asked + 1
		if asked <= connections then
			return math.floor(settle_ms + 2 * think_ms * (1 - math.sqrt(math.random())))
		end
		return math.random(0, 2 * think_ms)
	end
end

-- A script whose work can come to an end says in ran_us when it did; wrk itself waits for its time to pass.
local function ran_us(summary)
	local longest = 0
	for _, thread in ipairs(threads) do
		longest = math.max(longest, thread:get("ran_us") or summary.duration)
	end
	return longest
end

-- One line for t/bench/measure; times in microseconds.
function done(summary, latency, requests)
	local errors = summary.errors
	io.write(string.format('BENCH {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
		'"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
		summary.requests, ran_us(summary), latency:percentile(50), latency:percentile(99), latency.max,
		errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end

return common
