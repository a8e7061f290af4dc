/* The trust lease: see lease.h. */
#include "cache/lease.h"

#include "base/clock.h"

void
lease_give(struct lease *lease, const struct lease_content *content)
{
	seqlock_write_begin(&lease->lock);
	lease->content = *content;
	seqlock_write_end(&lease->lock);
}

bool
lease_look(const struct lease *lease, struct lease_content *ret_content)
{
	struct lease_content content;

	if (!seqlock_read(&lease->lock, &content, &lease->content, sizeof(content)) ||
	    clock_boot_ms() >= content.until_boot_ms)
		return false;
	*ret_content = content;
	return true;
}
