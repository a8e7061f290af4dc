-- For sysbench: the transaction of one XP grant straight on the database, in tables of its own with the service's
-- schema: lock the row, write the ledger, update the row, commit. Statements are prepared, as sysbench's own are.

sysbench.cmdline.options = {
	players = { "Number of players", 10000 },
	name = { "What makes a player's name of his number", "bench-%05d" },
	season = { "Season", "s1" },
}

local t = sysbench.sql.type
local connection
local statements = {}
local parameters = {}
local prefix, number

-- Names and parameter types; a text carries its length.
local definitions = {
	lock = {
		"SELECT player_id, xp, revision, pass_count, claim_count, updated_at_ms FROM progress " ..
			"WHERE player_id = ? AND season_id = ? FOR UPDATE",
		{ t.CHAR, 64 }, { t.CHAR, 64 },
	},
	-- player, season, key, grant, hash, amount, occurred at, xp before, xp after, granted at
	insert = {
		"INSERT INTO xp_grant (player_id, season_id, idempotency_key, grant_id, request_hash, amount, source, tags, " ..
			"occurred_at_ms, xp_before, xp_after, tier_before, tier_after, unlocked, revision, granted_at_ms) " ..
			"VALUES (?, ?, ?, ?, ?, ?, 'match', '[]', ?, ?, ?, 12, 12, '\"tiers\":[]', 4, ?)",
		{ t.CHAR, 64 }, { t.CHAR, 64 }, { t.CHAR, 128 }, { t.CHAR, 16 }, { t.CHAR, 16 }, t.BIGINT, t.BIGINT, t.BIGINT,
		t.BIGINT, t.BIGINT,
	},
	update = {
		"UPDATE progress SET xp = xp + ?, revision = revision + 1, updated_at_ms = ? WHERE player_id = ? AND season_id = ?",
		t.BIGINT, t.BIGINT, { t.CHAR, 64 }, { t.CHAR, 64 },
	},
}

local function prepare(name)
	local definition = definitions[name]
	local statement = connection:prepare(definition[1])
	local bound = {}
	for i = 2, #definition do
		local kind = definition[i]
		bound[i - 1] = type(kind) == "table" and statement:bind_create(kind[1], kind[2]) or statement:bind_create(kind)
	end
	statement:bind_param(unpack(bound))
	statements[name], parameters[name] = statement, bound
end

local function execute(name, ...)
	for i, value in ipairs({ ... }) do
		parameters[name][i]:set(value)
	end
	statements[name]:execute()
end

function thread_init()
	connection = sysbench.sql.driver():connect()
	connection:query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
	statements.begin = connection:prepare("BEGIN")
	statements.commit = connection:prepare("COMMIT")
	for name in pairs(definitions) do
		prepare(name)
	end
	prefix = string.format("sysbench-%d-%d-", os.time(), sysbench.tid)
	number = 0
end

function event()
	local player = string.format(sysbench.opt.name, sysbench.rand.uniform(1, sysbench.opt.players))
	local season = sysbench.opt.season
	local amount = sysbench.rand.uniform(10, 100)
	local now_ms = os.time() * 1000
	local before = sysbench.rand.uniform(0, 200000)

	number = number + 1
	statements.begin:execute()
	execute("lock", player, season)
	execute("insert", player, season, prefix .. number, string.format("%016d", number * 1000 + sysbench.tid),
		"0123456789abcdef", amount, now_ms, before, before + amount, now_ms)
	execute("update", amount, now_ms, player, season)
	statements.commit:execute()
end

function thread_done()
	for _, statement in pairs(statements) do
		statement:close()
	end
	connection:disconnect()
end
