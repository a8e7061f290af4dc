/* What a player's row means: see holdings.h. */
#include "service/holdings.h"

uint32_t
holdings_owned(const struct season *season, const struct progress_row *row)
{
	uint32_t owned = 0;

	for (uint32_t i = 0; i < row->pass_count; i++) {
		const struct owned_pass *each = &row->passes[i];
		int pass = each->active ? season_find_pass(season, each->pass.ptr, each->pass.len) : -1;

		if (pass >= 0)
			owned |= UINT32_C(1) << pass;
	}
	return owned;
}

uint32_t
holdings_open(const struct season *season, const struct progress_row *row)
{
	return season_open_passes(season, holdings_owned(season, row));
}

struct claimed_set
holdings_claimed(const struct season *season, const struct progress_row *row)
{
	struct claimed_set set = {{0}, {0}};

	for (uint32_t i = 0; i < row->claim_count; i++)
		claimed_add(&set, season, row->claims[i].ptr, row->claims[i].len);
	return set;
}

struct owned_pass *
holdings_pass(const struct progress_row *row, struct str pass)
{
	for (uint32_t i = 0; i < row->pass_count; i++)
		if (str_equal(row->passes[i].pass, pass))
			return &row->passes[i];
	return NULL;
}

bool
holdings_has_claim(const struct progress_row *row, struct str reward)
{
	for (uint32_t i = 0; i < row->claim_count; i++)
		if (str_equal(row->claims[i], reward))
			return true;
	return false;
}
