/*
 * The tables beside the players' rows, in memory: passes, claims, deliveries, purchases, resets and the audit log. What
 * a database refuses (a primary key or a unique index met twice) is refused or called a broken promise here, too.
 */
#ifndef BP_T_UNIT_FAKE_TABLES_H
#define BP_T_UNIT_FAKE_TABLES_H

#include "fake_faults.h"
#include "service/ports.h"

enum { FAKE_ROWS_MAX = 512 };

struct fake_tables {
	struct pass_row passes[FAKE_ROWS_MAX];
	size_t pass_count;
	struct claim_row claims[FAKE_ROWS_MAX];
	size_t claim_count;
	struct forgotten {
		struct uuid reset;
		struct claim_row claim;
	} forgotten[FAKE_ROWS_MAX];
	size_t forgotten_count;
	struct delivery_row deliveries[FAKE_ROWS_MAX];
	size_t delivery_count;
	struct purchase_row purchases[FAKE_ROWS_MAX];
	size_t purchase_count;
	struct reset_row resets[FAKE_ROWS_MAX];
	size_t reset_count;
	struct audit_entry entries[FAKE_ROWS_MAX]; /* in the order of saving */
	size_t entry_count;
};

/* Copies the rows that are there. */
void fake_tables_copy(struct fake_tables *to, const struct fake_tables *from);
/* What is saved becomes part of the tables; texts are copied into memory. ERR_STORE_DUPLICATE: a key is known. */
enum err fake_tables_save(struct fake_tables *tables, const struct changes *changes, struct arena *memory,
			  struct fake_faults *faults);
/* Fills in the row's passes and claims. */
void fake_tables_take(const struct fake_tables *tables, struct progress_row *row, struct arena *arena);
const struct audit_entry *fake_tables_entry(const struct fake_tables *tables, const struct audit_entry *wanted);
const struct purchase_row *fake_tables_purchase(const struct fake_tables *tables, struct str player,
						const char *season, const struct uuid *id);
const struct purchase_row *fake_tables_live(const struct fake_tables *tables, struct str player, const char *season,
					    struct str pass);
/* With what it has forgotten. False: there is none. */
bool fake_tables_reset(const struct fake_tables *tables, struct str player, const char *season, const struct uuid *id,
		       struct arena *arena, struct reset_row *ret_reset);
bool fake_tables_owns(const struct fake_tables *tables, struct str player, const char *season, const char *pass);

#endif
