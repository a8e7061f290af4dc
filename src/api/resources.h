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
/* seasons.c */
call_decode seasons_decode;
call_encode seasons_encode, season_encode;
/* health.c */
call_encode livez_encode, readyz_encode, metrics_encode;

#endif
