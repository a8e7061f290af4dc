/* The JSON that goes out. Implements struct codec_port of service/ports.h, and what the resources print besides. */
#ifndef BP_API_RENDER_H
#define BP_API_RENDER_H

#include "service/ports.h"

extern const struct codec_port render_codec;

/* The members of a grant, without the braces. */
void render_grant(const struct grant_row *row, struct buf *out);

#endif
