/* Reads the JSON of audit entries for a replay (service/replay.h). */
#ifndef BP_CTL_ENTRY_READER_H
#define BP_CTL_ENTRY_READER_H

#include "service/replay.h"

extern const struct replay_reader entry_reader;

#endif
