/* What operators do: see operators.h. */
#include "service/operators.h"

#include "base/clock.h"
#include "service/audit.h"

enum { TRIES = 5, JITTER_MS = 10 };

static void
print_flags(const struct operator_state *state, struct buf *out)
{
	flags_print(&state->flags, out);
}

static void
set_flags(const struct operator_command *command, struct operator_state *state)
{
	bool moved = false;

	for (int i = 0; i < FLAG_COUNT; i++) {
		if (!command->named[i])
			continue;
		moved |= state->flags.values[i] != command->values[i];
		state->flags.values[i] = command->values[i];
	}
	state->flags.revision += moved;
}

static void
print_cache(const struct operator_state *state, struct buf *out)
{
	buf_format(out, "\"epoch\":\"%llu\",\"enabled\":%s", (unsigned long long)state->gate.epoch,
		   state->gate.enabled ? "true" : "false");
}

/* Off for everybody, until a steward begins the next epoch, whose keys nobody has written to. */
static void
flush(const struct operator_command *command, struct operator_state *state)
{
	(void)command;
	state->gate.enabled = false;
}

static void
print_warming(const struct operator_state *state, struct buf *out)
{
	const struct warming *warming = &state->warming;

	buf_format(out, "\"request\":\"%llu\",\"season\":", (unsigned long long)warming->request);
	if (warming->season[0])
		buf_json_string(out, str_from(warming->season));
	else
		buf_literal(out, "null");
	buf_format(out, ",\"players\":%llu,\"done\":%s", (unsigned long long)warming->players,
		   warming->done ? "true" : "false");
}

static void
ask_for_warming(const struct operator_command *command, struct operator_state *state)
{
	struct warming *warming = &state->warming;

	*warming = (struct warming){
		.request = warming->request + 1,
		.epoch = state->gate.epoch,
		.players = command->players,
		.at_hour = WARMING_FROM_NEWEST,
	};
	if (command->season.len && command->season.len < sizeof(warming->season))
		memcpy(warming->season, command->season.ptr, command->season.len);
}

/* name: of the entry. */
static const struct {
	const char *name;
	void (*act)(const struct operator_command *command, struct operator_state *state);
	void (*print)(const struct operator_state *state, struct buf *out); /* what it is about: members of JSON */
} actions[OPERATOR_ACTION_COUNT] = {
	[OPERATOR_SET_FLAGS] = {"flags_changed", set_flags, print_flags},
	[OPERATOR_FLUSH] = {"cache_flushed", flush, print_cache},
	[OPERATOR_WARM] = {"cache_warmed", ask_for_warming, print_warming},
};

static struct str
printed(const struct operator_command *command, const struct operator_state *state, struct arena *arena)
{
	struct buf text;

	buf_init(&text);
	buf_char(&text, '{');
	actions[command->action].print(state, &text);
	buf_char(&text, '}');

	struct str copy = arena_str(arena, buf_view(&text));

	buf_release(&text);
	return copy;
}

/* Acts on the state, and makes the next link of the chain. */
static void
act(struct operator_command *command, struct operator_state *state, struct arena *arena, int64_t now_ms)
{
	struct audit_entry *entry = &command->entry;

	entry->sequence = ++state->audit_count;
	entry->id = uuid_new(now_ms);
	entry->author = command->author;
	entry->entered_at_ms = now_ms;
	entry->before = printed(command, state, arena);
	actions[command->action].act(command, state);
	entry->after = printed(command, state, arena);
	audit_hash(state->audit_hash, entry, entry->hash);
	memcpy(state->audit_hash, entry->hash, sizeof(entry->hash));
}

static enum err
take_replay(struct operator_command *command)
{
	command->replayed = true;
	return memcmp(command->entry.request_hash, command->request_hash, sizeof(command->request_hash)) == 0
		       ? ERR_OK
		       : ERR_IDEMPOTENCY_KEY_REUSED;
}

static enum err
locked(const struct operators_port *port, struct operator_command *command, struct operator_state *state,
       struct arena *arena, int64_t now_ms)
{
	struct operator_state before = *state;
	bool found = false;
	enum err err = port->find(port->self, &command->entry, &found, arena);

	if (err != ERR_OK)
		return err;
	if (found)
		return take_replay(command);
	act(command, state, arena, now_ms);
	return command->validate_only ? ERR_OK : port->save(port->self, &before, state, &command->entry);
}

static enum err
run_once(const struct operators_port *port, struct operator_command *command, struct arena *arena, int64_t now_ms)
{
	struct operator_state state;
	enum err err = port->lock(port->self, &state);

	if (err != ERR_OK)
		return err;
	command->replayed = false;
	command->entry = (struct audit_entry){
		.season = "",
		.action = actions[command->action].name,
		.idempotency_key = command->idempotency_key,
	};
	memcpy(command->entry.request_hash, command->request_hash, sizeof(command->request_hash));
	err = locked(port, command, &state, arena, now_ms);
	if (err == ERR_OK && !command->replayed && !command->validate_only)
		return port->commit(port->self);
	port->rollback(port->self);
	return err;
}

enum err
operator_run(const struct operators_port *port, struct operator_command *command, struct arena *arena, int64_t now_ms)
{
	enum err err = ERR_STORE_RETRY;

	/* Where the outcome of a commit is unknown, the key tells at the next try. */
	for (int tries = 0; tries < TRIES && (err == ERR_STORE_RETRY || err == ERR_STORE_UNKNOWN); tries++) {
		if (tries)
			clock_sleep_ms((int64_t)(random_u64() % JITTER_MS));
		err = run_once(port, command, arena, now_ms);
	}
	return err == ERR_STORE_RETRY || err == ERR_STORE_UNKNOWN ? ERR_STORE_UNAVAILABLE : err;
}

enum err
cache_of_player(const struct operators_port *operators, const struct records_port *records,
		const struct cache_port *cache, struct str player, struct arena *arena,
		struct cache_of_player *ret_view)
{
	struct cache_of_player view = {.count = 0};
	struct operator_state state;
	enum err err = operators->read(operators->self, &state);

	if (err == ERR_OK)
		err = records->standings(records->self, player, arena, &view.standings, &view.count);
	if (err != ERR_OK)
		return err;
	view.gate = state.gate;
	view.contents = ARENA_ARRAY(arena, view.count, struct cache_content);
	for (size_t i = 0; i < view.count; i++) {
		view.contents[i].player = player;
		view.contents[i].season = arena_copy(arena, view.standings[i].season);
	}
	view.reached = cache->peek(cache->self, &view.gate, view.contents, view.count, arena);
	*ret_view = view;
	return ERR_OK;
}
