/* Whoever acts on the whole service from the command line, as the audit log shall know him. */
#include <pwd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/ctl.h"
#include "service/operators.h"

bool
ctl_reason_valid(const char *reason)
{
	enum { REASON_MAX = 500 };
	struct str text = str_from(reason);

	return text.len >= 1 && text.len <= REASON_MAX && utf8_valid(text);
}

void
ctl_operator(struct ctl *ctl, const char *reason, struct operator_command *command)
{
	const struct passwd *user = getpwuid(getuid());
	struct uuid uuid = uuid_new(clock_unix_ms());
	char id[UUID_TEXT_SIZE];

	uuid_format(&uuid, id);
	command->idempotency_key = arena_str(&ctl->arena, str_from(id)); /* a commit of unknown outcome is looked up */
	command->author = (struct author){
		.actor = user ? arena_str(&ctl->arena, str_from(user->pw_name))
			      : arena_format(&ctl->arena, "uid %u", (unsigned)getuid()),
		.role = "operator",
		.reason = str_from(reason),
		.request_id = command->idempotency_key,
	};
}
