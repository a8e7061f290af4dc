/*
 * The season document: one JSON text is one season (the format is told in docs/season.md and shown by
 * examples/season.json). The same reader takes files (battlepassctl) and what the store kept (the lanes).
 */
#ifndef BP_DOCUMENT_SEASON_DOCUMENT_H
#define BP_DOCUMENT_SEASON_DOCUMENT_H

#include "base/fault.h"
#include "domain/season.h"

/*
 * Builds a season from a document, with revision 0 and state DRAFT. Every fault is added to faults with its JSON
 * pointer and its own code. ERR_SEASON_INVALID: there was one at least, and *ret_season is untouched. Unknown members
 * are faults too. The season owns a copy of all it needs.
 */
enum err season_document_parse(struct str text, struct season **ret_season, struct faults *faults);
void season_free(struct season *season);

#endif
