/* Responses: which status and code an error comes to, and problem+json that any reader can read. */
#include "http/response.h"

#include <stdio.h>

#include "base/json.h"
#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct arena arena;
static struct response response;

static const char *
headers(void)
{
	return buf_text(&response.headers);
}

static void
test_statuses(void)
{
	static const struct {
		enum err err;
		enum err shown;
		int status;
	} cases[] = {
		{ERR_OK, ERR_OK, 200},
		{ERR_MALFORMED_JSON, ERR_MALFORMED_JSON, 400},
		{ERR_INVALID_FIELD, ERR_INVALID_FIELD, 400},
		{ERR_UNKNOWN_FIELD, ERR_UNKNOWN_FIELD, 400},
		{ERR_MISSING_IDEMPOTENCY_KEY, ERR_MISSING_IDEMPOTENCY_KEY, 400},
		{ERR_TOKEN_MISSING, ERR_TOKEN_MISSING, 401},
		{ERR_TOKEN_INVALID, ERR_TOKEN_INVALID, 401},
		{ERR_TOKEN_EXPIRED, ERR_TOKEN_EXPIRED, 401},
		{ERR_PAYMENT_DECLINED, ERR_PAYMENT_DECLINED, 402},
		{ERR_NOT_YOUR_DATA, ERR_NOT_YOUR_DATA, 403},
		{ERR_ROLE_NOT_ALLOWED, ERR_ROLE_NOT_ALLOWED, 403},
		{ERR_NO_SUCH_ROUTE, ERR_NO_SUCH_ROUTE, 404},
		{ERR_SEASON_NOT_FOUND, ERR_SEASON_NOT_FOUND, 404},
		{ERR_PURCHASE_NOT_FOUND, ERR_PURCHASE_NOT_FOUND, 404},
		{ERR_RESET_NOT_FOUND, ERR_RESET_NOT_FOUND, 404},
		{ERR_DELIVERY_NOT_FOUND, ERR_DELIVERY_NOT_FOUND, 404},
		{ERR_METHOD_NOT_ALLOWED, ERR_METHOD_NOT_ALLOWED, 405},
		{ERR_SEASON_AMBIGUOUS, ERR_SEASON_AMBIGUOUS, 409},
		{ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE, 409},
		{ERR_ALREADY_OWNED, ERR_ALREADY_OWNED, 409},
		{ERR_NOT_OWNED, ERR_NOT_OWNED, 409},
		{ERR_PURCHASE_CLOSED, ERR_PURCHASE_CLOSED, 409},
		{ERR_PURCHASE_IN_PROGRESS, ERR_PURCHASE_IN_PROGRESS, 409},
		{ERR_TOO_MANY_TIERS, ERR_TOO_MANY_TIERS, 409},
		{ERR_NOT_FOR_SALE, ERR_NOT_FOR_SALE, 409},
		{ERR_NOT_REFUNDABLE, ERR_NOT_REFUNDABLE, 409},
		{ERR_PURCHASE_NOT_STUCK, ERR_PURCHASE_NOT_STUCK, 409},
		{ERR_PASS_UPGRADED, ERR_PASS_UPGRADED, 409},
		{ERR_ALREADY_UNDONE, ERR_ALREADY_UNDONE, 409},
		{ERR_DELIVERY_NOT_FAILED, ERR_DELIVERY_NOT_FAILED, 409},
		{ERR_IDEMPOTENCY_IN_FLIGHT, ERR_IDEMPOTENCY_IN_FLIGHT, 409},
		{ERR_REVISION_CHANGED, ERR_REVISION_CHANGED, 412},
		{ERR_BODY_TOO_LARGE, ERR_BODY_TOO_LARGE, 413},
		{ERR_NOT_JSON, ERR_NOT_JSON, 415},
		{ERR_IDEMPOTENCY_KEY_REUSED, ERR_IDEMPOTENCY_KEY_REUSED, 422},
		{ERR_SEASON_INVALID, ERR_SEASON_INVALID, 422},
		{ERR_INTERNAL, ERR_INTERNAL, 500},
		{ERR_STORE_UNAVAILABLE, ERR_STORE_UNAVAILABLE, 503},
		{ERR_OVERLOADED, ERR_OVERLOADED, 503},
		/* These must not leave the service by their names. */
		{ERR_STORE_RETRY, ERR_STORE_UNAVAILABLE, 503},
		{ERR_STORE_DUPLICATE, ERR_STORE_UNAVAILABLE, 503},
		{ERR_STORE_UNKNOWN, ERR_STORE_UNAVAILABLE, 503},
		{ERR_STORE_SCHEMA, ERR_STORE_UNAVAILABLE, 503},
		{ERR_CACHE_AHEAD, ERR_STORE_UNAVAILABLE, 503},
		{ERR_CACHE_UNAVAILABLE, ERR_STORE_UNAVAILABLE, 503},
		{ERR_CACHE_OFF_PENDING, ERR_STORE_UNAVAILABLE, 503},
		{ERR_NOT_FOUND, ERR_INTERNAL, 500},
		{ERR_SEASON_SWITCH_PENDING, ERR_INTERNAL, 500}, /* the command line's alone */
		{ERR_CONFIG, ERR_INTERNAL, 500},
		{ERR_SYSTEM, ERR_INTERNAL, 500},
		{ERR_COUNT, ERR_INTERNAL, 500},
		{(enum err)9999, ERR_INTERNAL, 500},
	};
	bool seen[ERR_COUNT] = {false};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CU_ASSERT_EQUAL(err_public(cases[i].err), cases[i].shown);
		CU_ASSERT_EQUAL(err_status(cases[i].err), cases[i].status);
		if ((unsigned)cases[i].err < ERR_COUNT)
			seen[cases[i].err] = true;
	}
	/* Whoever adds an error says here what clients see of it. */
	for (unsigned i = 0; i < ERR_COUNT; i++) {
		if (!seen[i])
			printf("# no case for %s\n", err_code((enum err)i));
		CU_ASSERT_TRUE(seen[i]);
	}
}

static void
test_json(void)
{
	response_clear(&response);
	response_header(&response, STR("ETag"), STR("\"1-2\""));
	response_json(&response, 201, STR("{}"));
	CU_ASSERT_EQUAL(response.status, 201);
	CU_ASSERT(str_equal(response.body, STR("{}")));
	CU_ASSERT_STRING_EQUAL(headers(), "ETag: \"1-2\"\r\nContent-Type: application/json\r\n");
	response.lane = STR("store");
	response_clear(&response);
	CU_ASSERT(response.status == 0 && response.body.len == 0 && response.lane.len == 0);
	CU_ASSERT_STRING_EQUAL(headers(), "");
}

static void
expect_text(const struct json *problem, const char *name, const char *text)
{
	struct str value = STR("(none)");

	CU_ASSERT_TRUE(json_get_string(json_member(problem, name), &value));
	CU_ASSERT(str_equal(value, str_from(text)));
}

/* The body of the response; the caller frees it. */
static struct json *
problem_of(enum err err, const char *detail, const struct faults *faults, struct str instance)
{
	struct json *problem = NULL;
	char what[JSON_DETAIL_SIZE];

	response_clear(&response);
	response_problem(&response, &arena, err, detail, faults, instance);
	CU_ASSERT_EQUAL_FATAL(json_parse(response.body, &problem, what), ERR_OK);
	return problem;
}

static void
test_problem(void)
{
	int64_t status = 0;
	struct json *problem = problem_of(ERR_SEASON_NOT_FOUND, NULL, NULL, STR("req-1"));

	CU_ASSERT_EQUAL(response.status, 404);
	expect_text(problem, "type", "urn:battlepass:problem:season_not_found");
	expect_text(problem, "title", err_text(ERR_SEASON_NOT_FOUND));
	expect_text(problem, "code", "season_not_found");
	expect_text(problem, "detail", err_text(ERR_SEASON_NOT_FOUND));
	expect_text(problem, "instance", "req-1");
	CU_ASSERT(json_get_integer(json_member(problem, "status"), &status) && status == 404);
	CU_ASSERT_PTR_NULL(json_member(problem, "errors"));
	CU_ASSERT_STRING_EQUAL(headers(), "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n");
	json_free(problem);
	arena_reset(&arena);
}

static void
test_detail(void)
{
	struct json *problem = problem_of(ERR_MALFORMED_JSON, "a \"quote\" \\ and\nlines", NULL, STR("r"));

	expect_text(problem, "detail", "a \"quote\" \\ and\nlines");
	json_free(problem);
	/* What is internal to us is not told. */
	problem = problem_of(ERR_STORE_UNKNOWN, "connection to 10.0.0.1 lost", NULL, STR("r"));
	expect_text(problem, "code", "store_unavailable");
	expect_text(problem, "detail", err_text(ERR_STORE_UNAVAILABLE));
	json_free(problem);
	problem = problem_of(ERR_SYSTEM, "open(/etc/shadow)", NULL, STR("r"));
	expect_text(problem, "code", "internal");
	expect_text(problem, "detail", err_text(ERR_INTERNAL));
	json_free(problem);
	arena_reset(&arena);
}

static void
test_headers_of_problems(void)
{
	json_free(problem_of(ERR_STORE_UNAVAILABLE, NULL, NULL, STR("r")));
	CU_ASSERT_PTR_NOT_NULL(strstr(headers(), "\r\nRetry-After: 1\r\n"));
	json_free(problem_of(ERR_OVERLOADED, NULL, NULL, STR("r")));
	CU_ASSERT_PTR_NOT_NULL(strstr(headers(), "\r\nRetry-After: 1\r\n"));
	json_free(problem_of(ERR_TOKEN_EXPIRED, NULL, NULL, STR("r")));
	CU_ASSERT_PTR_NOT_NULL(strstr(headers(), "\r\nWWW-Authenticate: Bearer\r\n"));
	CU_ASSERT_PTR_NULL(strstr(headers(), "Retry-After"));
	arena_reset(&arena);
}

static void
test_faults(void)
{
	struct faults faults;

	faults_init(&faults, &arena);
	struct json *problem = problem_of(ERR_INVALID_FIELD, NULL, &faults, STR("r"));

	CU_ASSERT_PTR_NULL(json_member(problem, "errors"));
	json_free(problem);
	faults_add(&faults, "/amount", "out_of_range", "expected 1 to %d", 9);
	faults_add(&faults, "/a~1b/\"\t\xc3\xa9", "unknown_field", "no \"such\" field");
	problem = problem_of(ERR_INVALID_FIELD, NULL, &faults, STR("r"));
	const struct json *errors = json_member(problem, "errors");

	CU_ASSERT_EQUAL(json_count(errors), 2);
	expect_text(json_first(errors), "pointer", "/amount");
	expect_text(json_first(errors), "code", "out_of_range");
	expect_text(json_first(errors), "detail", "expected 1 to 9");
	expect_text(json_next(json_first(errors)), "pointer", "/a~1b/\"\t\xc3\xa9");
	expect_text(json_next(json_first(errors)), "detail", "no \"such\" field");
	json_free(problem);
	arena_reset(&arena);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"statuses of all errors", test_statuses},
		{"JSON", test_json},
		{"a problem", test_problem},
		{"details", test_detail},
		{"headers of problems", test_headers_of_problems},
		{"faults", test_faults},
		CU_TEST_INFO_NULL,
	};

	arena_init(&arena);
	buf_init(&response.headers);
	int status = tap_main("http/response", tests);

	buf_release(&response.headers);
	arena_release(&arena);
	return status;
}
