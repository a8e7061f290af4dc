/* The decode and encode functions of all resources: what the route table is made of. */
#ifndef BP_API_RESOURCES_H
#define BP_API_RESOURCES_H

#include "api/call.h"

/* progress.c */
call_decode progress_decode, lookup_decode;
call_encode progress_encode, lookup_encode;
/* grants.c */
call_decode grant_decode, batch_decode, ledger_decode;
call_encode grant_encode, batch_encode, ledger_encode;
/* claims.c */
call_decode claim_decode, claims_decode;
call_encode claim_encode, claims_encode;
/* purchases.c */
call_decode purchase_decode, purchases_decode, admin_purchases_decode, refund_decode, purchase_close_decode;
call_encode purchase_encode, purchases_encode, purchase_get_encode, admin_purchases_encode, refund_encode,
	purchase_close_encode, options_encode;
/* players.c */
call_decode standings_decode, correction_decode, tier_grant_decode, pass_grant_decode, pass_revocation_decode,
	reset_decode, reset_undo_decode;
call_encode standings_encode, player_encode, operation_encode;
/* deliveries.c */
call_decode deliveries_decode, retry_decode;
call_encode deliveries_encode, retry_encode;
/* audit.c */
call_decode audit_decode, verify_decode;
call_encode audit_encode, verify_encode;
/* operators.c */
call_decode flags_decode, flush_decode, warm_decode;
call_encode flags_encode, operator_encode, cache_player_encode;
/* seasons.c */
call_decode seasons_decode;
call_encode seasons_encode, season_encode;
/* health.c */
call_encode livez_encode, readyz_encode, metrics_encode;

#endif
