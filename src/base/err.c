/* Error texts: see err.h. */
#include "base/err.h"

static const struct {
	const char *code;
	const char *text;
} errors[ERR_COUNT] = {
#define X(name, code, text) [ERR_##name] = {code, text},
	ERR_TABLE(X)
#undef X
};

const char *
err_code(enum err err)
{
	return (unsigned)err < ERR_COUNT ? errors[err].code : "internal";
}

const char *
err_text(enum err err)
{
	return (unsigned)err < ERR_COUNT ? errors[err].text : "unknown error";
}
