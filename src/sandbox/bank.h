/*
 * The sandbox's books in MariaDB: wallets, debits and deliveries by their keys, and a ledger of every movement that is
 * only ever added to, so that what a player was charged can be counted whatever becomes of the keys. Each call is one
 * transaction; however many ask with one key at once, it takes place once. A wallet's balance is always the sum of its
 * ledger rows.
 *
 * Errors of every call: those of the store (see store/db.h); the caller may ask again. Nothing of HTTP or JSON here.
 */
#ifndef BP_SANDBOX_BANK_H
#define BP_SANDBOX_BANK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"

enum {
	BANK_WALLETS_MAX = 16, /* currencies that a new player has */
	BANK_ID_MAX = 64,      /* bytes of a player, currency, kind or item */
	BANK_TEXT_MAX = 255,   /* of a reference */
	BANK_KEY_MAX = 128,
};

#define BANK_AMOUNT_MAX INT64_C(1000000000000)
/* Keys are never forgotten. */
#define BANK_KEEP_KEYS INT64_C(-1)

struct bank;
struct db;

/* What a player who was not seen before has of a currency. */
struct bank_wallet {
	const char *currency;
	int64_t balance;
};

enum bank_state { BANK_EXECUTED, BANK_DECLINED, BANK_VOIDED, BANK_REFUNDED, BANK_STATES };

enum bank_outcome {
	BANK_DONE,
	BANK_REPLAYED,    /* it was done before; this call changed nothing */
	BANK_KEY_REUSED,  /* the key belongs to another request */
	BANK_WRONG_STATE, /* see the debit's state */
	BANK_UNKNOWN      /* there is no such key */
};

struct bank_debit {
	struct str key;
	struct str player;
	struct str currency;
	struct str reference;
	struct str transaction;
	int64_t amount;
	enum bank_state state;
};

struct bank_delivery {
	struct str key;
	struct str player;
	struct str kind;
	struct str item;
	struct str reference;
	int64_t quantity;
	int64_t times_sent;
};

/* Waits for the database for a while, and makes the tables. conf and wallets are borrowed. Before any thread is made.
 */
enum err bank_open(const struct conf *conf, const struct bank_wallet *wallets, size_t wallet_count,
		   struct bank **ret_bank);
void bank_close(struct bank *bank);

/* Static: "executed", .. */
const char *bank_state_name(enum bank_state state);

/*
 * Outputs live in the arena. retention_ms: a key older than that is forgotten first; BANK_KEEP_KEYS. decline: whatever
 * the wallet says. A debit that finds its key in another state than BANK_EXECUTED is BANK_WRONG_STATE; so is one that
 * was declined just now.
 */
enum err bank_debit(struct bank *bank, const struct bank_debit *asked, int64_t retention_ms, bool decline,
		    struct arena *arena, struct bank_debit *ret_debit, enum bank_outcome *ret_outcome);
/* BANK_DONE or BANK_UNKNOWN. */
enum err bank_find(struct bank *bank, struct str key, int64_t retention_ms, struct arena *arena,
		   struct bank_debit *ret_debit, enum bank_outcome *ret_outcome);
/* Voids the key, known or not; BANK_WRONG_STATE when it is executed or refunded. */
enum err bank_cancel(struct bank *bank, struct str key, int64_t retention_ms, struct arena *arena,
		     struct bank_debit *ret_debit, enum bank_outcome *ret_outcome);
/* BANK_UNKNOWN or BANK_WRONG_STATE when it was never executed. */
enum err bank_refund(struct bank *bank, struct str key, int64_t retention_ms, struct arena *arena,
		     struct bank_debit *ret_debit, enum bank_outcome *ret_outcome);
enum err bank_deliver(struct bank *bank, const struct bank_delivery *asked, int64_t retention_ms, struct arena *arena,
		      struct bank_delivery *ret_delivery, enum bank_outcome *ret_outcome);
/* Sets a balance; the ledger gets the difference. */
enum err bank_set_wallet(struct bank *bank, struct str player, struct str currency, int64_t balance);

/* JSON about one player, and about everything. */
enum err bank_print_player(struct bank *bank, struct str player, struct buf *out);
enum err bank_print_totals(struct bank *bank, struct buf *out);
/* ERR_OK: the database answers. */
enum err bank_ping(struct bank *bank);

#endif
