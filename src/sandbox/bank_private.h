/*
 * What the files of the bank share: transactions, wallets, the ledger. Every statement is built with db_quote(); a step
 * may run several times, so it must set all that it gives back.
 */
#ifndef BP_SANDBOX_BANK_PRIVATE_H
#define BP_SANDBOX_BANK_PRIVATE_H

#include "sandbox/bank.h"
#include "store/db.h"

enum bank_movement { BANK_OPENING, BANK_SET, BANK_DEBIT, BANK_REFUND, BANK_DELIVERY, BANK_ITEM };

/* A row of the ledger. */
struct bank_entry {
	enum bank_movement movement;
	struct str player;
	struct str what; /* currency; of an item its name */
	struct str key;
	int64_t amount; /* negative: out of the wallet */
};

typedef enum err bank_step(struct bank *bank, struct db *db, void *job);

/* Runs step in a transaction of its own, anew when it was rolled back for no fault of its own. */
enum err bank_transact(struct bank *bank, bank_step *step, void *job);

/* Continue a statement: a comma and the value. */
void bank_add_text(struct db *db, struct str text);
void bank_add_integer(struct db *db, int64_t value);

/* A fresh id in text (UUID_TEXT_SIZE). */
void bank_new_id(struct bank *bank, char *text);
enum err bank_write_entry(struct db *db, const struct bank_entry *entry);
/* Takes entry->amount out of the wallet or puts it in, and writes the entry. *ret_enough: false, nothing is changed. */
enum err bank_move(struct bank *bank, struct db *db, const struct bank_entry *entry, bool *ret_enough);
/* What a player who was not seen before has; 0 for other currencies. */
size_t bank_defaults(const struct bank *bank, const struct bank_wallet **ret_wallets);

/* Is a key from then older than keys are kept? */
bool bank_is_forgotten(int64_t retention_ms, int64_t created_at_ms);
/* The row of this key goes; table and column are ours. */
enum err bank_forget(struct db *db, const char *table, const char *column, struct str key);

#endif
