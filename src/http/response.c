/* Responses and problem+json: see response.h. */
#include "http/response.h"

/* Statuses of the errors that reach a client; 0: it never should, and the client is told "internal" (500). */
static const short statuses[ERR_COUNT] = {
	[ERR_OK] = 200,
	[ERR_MALFORMED_JSON] = 400,
	[ERR_INVALID_FIELD] = 400,
	[ERR_UNKNOWN_FIELD] = 400,
	[ERR_MISSING_IDEMPOTENCY_KEY] = 400,
	[ERR_TOKEN_MISSING] = 401,
	[ERR_TOKEN_INVALID] = 401,
	[ERR_TOKEN_EXPIRED] = 401,
	[ERR_PAYMENT_DECLINED] = 402,
	[ERR_NOT_YOUR_DATA] = 403,
	[ERR_ROLE_NOT_ALLOWED] = 403,
	[ERR_NO_SUCH_ROUTE] = 404,
	[ERR_SEASON_NOT_FOUND] = 404,
	[ERR_PURCHASE_NOT_FOUND] = 404,
	[ERR_RESET_NOT_FOUND] = 404,
	[ERR_DELIVERY_NOT_FOUND] = 404,
	[ERR_METHOD_NOT_ALLOWED] = 405,
	[ERR_SEASON_AMBIGUOUS] = 409,
	[ERR_SEASON_NOT_ACTIVE] = 409,
	[ERR_ALREADY_OWNED] = 409,
	[ERR_NOT_OWNED] = 409,
	[ERR_PURCHASE_CLOSED] = 409,
	[ERR_PURCHASE_IN_PROGRESS] = 409,
	[ERR_TOO_MANY_TIERS] = 409,
	[ERR_NOT_FOR_SALE] = 409,
	[ERR_NOT_REFUNDABLE] = 409,
	[ERR_PURCHASE_NOT_STUCK] = 409,
	[ERR_PASS_UPGRADED] = 409,
	[ERR_ALREADY_UNDONE] = 409,
	[ERR_DELIVERY_NOT_FAILED] = 409,
	[ERR_IDEMPOTENCY_IN_FLIGHT] = 409,
	[ERR_REVISION_CHANGED] = 412,
	[ERR_BODY_TOO_LARGE] = 413,
	[ERR_NOT_JSON] = 415,
	[ERR_IDEMPOTENCY_KEY_REUSED] = 422,
	[ERR_SEASON_INVALID] = 422,
	[ERR_INTERNAL] = 500,
	[ERR_STORE_UNAVAILABLE] = 503,
	[ERR_OVERLOADED] = 503,
};

int
err_status(enum err err)
{
	return statuses[err_public(err)];
}

enum err
err_public(enum err err)
{
	switch (err) {
	case ERR_STORE_RETRY:
	case ERR_STORE_DUPLICATE:
	case ERR_STORE_UNKNOWN:
	case ERR_STORE_SCHEMA:
	case ERR_CACHE_AHEAD:
	case ERR_CACHE_UNAVAILABLE:
	case ERR_CACHE_OFF_PENDING:
		return ERR_STORE_UNAVAILABLE;
	default:
		return (unsigned)err < ERR_COUNT && statuses[err] ? err : ERR_INTERNAL;
	}
}

void
response_clear(struct response *response)
{
	response->status = 0;
	response->lane = STR_NONE;
	response->body = STR_NONE;
	buf_clear(&response->headers);
}

void
response_header(struct response *response, struct str name, struct str value)
{
	buf_str(&response->headers, name);
	buf_literal(&response->headers, ": ");
	buf_str(&response->headers, value);
	buf_literal(&response->headers, "\r\n");
}

void
response_json(struct response *response, int status, struct str body)
{
	response->status = status;
	response->body = body;
	response_header(response, STR("Content-Type"), STR("application/json"));
}

void
response_put_faults(struct buf *body, const struct faults *faults)
{
	buf_literal(body, ",\"errors\":[");
	for (size_t i = 0; i < faults->count; i++) {
		const struct fault *fault = &faults->items[i];

		buf_cstr(body, i ? ",{\"pointer\":" : "{\"pointer\":");
		buf_json_string(body, str_from(fault->pointer));
		buf_literal(body, ",\"code\":");
		buf_json_string(body, str_from(fault->code));
		buf_literal(body, ",\"detail\":");
		buf_json_string(body, str_from(fault->detail));
		buf_char(body, '}');
	}
	buf_char(body, ']');
}

void
response_problem(struct response *response, struct arena *arena, enum err err, const char *detail,
		 const struct faults *faults, struct str instance)
{
	enum err shown = err_public(err);
	int status = err_status(err);
	struct buf body;

	if (!detail || shown != err)
		detail = err_text(shown);
	buf_init(&body);
	buf_format(&body, "{\"type\":\"urn:battlepass:problem:%s\",\"title\":", err_code(shown));
	buf_json_string(&body, str_from(err_text(shown)));
	buf_format(&body, ",\"status\":%d,\"code\":\"%s\",\"detail\":", status, err_code(shown));
	buf_json_string(&body, str_from(detail));
	buf_literal(&body, ",\"instance\":");
	buf_json_string(&body, instance);
	if (faults && faults->count)
		response_put_faults(&body, faults);
	buf_char(&body, '}');
	response->status = status;
	response->body = arena_str(arena, buf_view(&body));
	buf_release(&body);
	response_header(response, STR("Content-Type"), STR("application/problem+json"));
	response_header(response, STR("Cache-Control"), STR("no-store"));
	if (status == 503)
		response_header(response, STR("Retry-After"), STR("1"));
	if (status == 401)
		response_header(response, STR("WWW-Authenticate"), STR("Bearer"));
}
