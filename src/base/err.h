/*
 * The one error enum. 0 is success everywhere; what comes from outside (a player, a token, MySQL, Redis) is an
 * enum err, never an assert. Every code stands once in this table: its machine code (problem+json `code`) and one
 * sentence for people. The HTTP status of each stands in http/response.c.
 */
#ifndef BP_BASE_ERR_H
#define BP_BASE_ERR_H

#define ERR_TABLE(X)                                                                                                   \
	X(OK, "ok", "success")                                                                                         \
	X(MALFORMED_JSON, "malformed_json", "the body is not one well-formed JSON value")                              \
	X(INVALID_FIELD, "invalid_field", "a field has a value that cannot be used")                                   \
	X(UNKNOWN_FIELD, "unknown_field", "a field is not known here")                                                 \
	X(MISSING_IDEMPOTENCY_KEY, "missing_idempotency_key", "this call needs an Idempotency-Key header")             \
	X(TOKEN_MISSING, "token_missing", "the Authorization header with a bearer token is missing")                   \
	X(TOKEN_INVALID, "token_invalid", "the bearer token cannot be accepted")                                       \
	X(TOKEN_EXPIRED, "token_expired", "the bearer token has expired")                                              \
	X(PAYMENT_DECLINED, "payment_declined", "the economy service has refused the payment")                         \
	X(NOT_YOUR_DATA, "not_your_data", "a player's token reaches its own data only")                                \
	X(ROLE_NOT_ALLOWED, "role_not_allowed", "this role may not make this call")                                    \
	X(NO_SUCH_ROUTE, "no_such_route", "no such path")                                                              \
	X(SEASON_NOT_FOUND, "season_not_found", "no such season")                                                      \
	X(PURCHASE_NOT_FOUND, "purchase_not_found", "no such purchase of this player and season")                      \
	X(RESET_NOT_FOUND, "reset_not_found", "no such reset of this player and season")                               \
	X(DELIVERY_NOT_FOUND, "delivery_not_found", "no such delivery")                                                \
	X(METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")                             \
	X(SEASON_AMBIGUOUS, "season_ambiguous", "more than one season is active: name one")                            \
	X(SEASON_NOT_ACTIVE, "season_not_active", "the season does not take this now")                                 \
	X(ALREADY_OWNED, "already_owned", "the player has this pass already")                                          \
	X(NOT_OWNED, "not_owned", "the player does not own this pass itself")                                          \
	X(PURCHASE_CLOSED, "purchase_closed", "nothing is sold in this season any more")                               \
	X(PURCHASE_IN_PROGRESS, "purchase_in_progress", "another purchase of this pass is not decided yet")            \
	X(TOO_MANY_TIERS, "too_many_tiers", "there are not so many tiers left")                                        \
	X(NOT_FOR_SALE, "not_for_sale", "this is not sold")                                                            \
	X(NOT_REFUNDABLE, "not_refundable", "a purchase in this state cannot be refunded")                             \
	X(PURCHASE_NOT_STUCK, "purchase_not_stuck", "only a purchase that is stuck can be closed by hand")             \
	X(PASS_UPGRADED, "pass_upgraded", "a pass bought on top of this one must be refunded first")                   \
	X(ALREADY_UNDONE, "already_undone", "this reset was undone already")                                           \
	X(DELIVERY_NOT_FAILED, "delivery_not_failed", "only a failed delivery can be tried again")                     \
	X(IDEMPOTENCY_IN_FLIGHT, "idempotency_in_flight",                                                              \
	  "a request with this idempotency key is being served: try again")                                            \
	X(BODY_TOO_LARGE, "body_too_large", "the body is larger than 1 MiB")                                           \
	X(NOT_JSON, "not_json", "the body must be application/json")                                                   \
	X(IDEMPOTENCY_KEY_REUSED, "idempotency_key_reused", "this idempotency key was used with another request")      \
	X(SEASON_INVALID, "season_invalid", "the season has faults")                                                   \
	X(REVISION_CHANGED, "revision_changed", "it was changed meanwhile: read it again")                             \
	X(SEASON_SWITCH_PENDING, "season_switch_pending", "the revision before is not in force yet")                   \
	X(INTERNAL, "internal", "something went wrong on our side")                                                    \
	X(STORE_UNAVAILABLE, "store_unavailable", "the database cannot answer now: try again")                         \
	X(OVERLOADED, "overloaded", "too much to do at the moment: try again")                                         \
	/* These never leave the service: an edge turns each into an action or one of the above. */                    \
	X(NOT_FOUND, "not_found", "not found")                                                                         \
	X(STORE_RETRY, "store_retry", "the transaction was rolled back and may be tried again")                        \
	X(STORE_DUPLICATE, "store_duplicate", "a ledger row with this key is there already; rolled back")              \
	X(STORE_UNKNOWN, "store_unknown", "the connection was lost: the outcome is unknown")                           \
	X(STORE_SCHEMA, "store_schema", "the schema is not one this build can use")                                    \
	X(CACHE_AHEAD, "cache_ahead", "the cache holds what this database has not made")                               \
	X(CACHE_UNAVAILABLE, "cache_unavailable", "Redis did not answer as it must")                                   \
	X(CACHE_OFF_PENDING, "cache_off_pending", "the cache was turned off and old leases may still live")            \
	X(CONFIG, "config", "the configuration cannot be used")                                                        \
	X(SYSTEM, "system", "a system call failed")

enum err {
#define X(name, code, text) ERR_##name,
	ERR_TABLE(X)
#undef X
		ERR_COUNT
};

/* The machine code, for instance "season_not_found". Static; never NULL. */
const char *err_code(enum err err);
/* One English sentence without a full stop. Static; never NULL. */
const char *err_text(enum err err);

#endif
