/* Decoding by a table: what each kind takes and refuses, and where each fault is said to be. */
#include "api/fields.h"

#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct target {
	int64_t integer;
	int64_t time;
	struct str id;
	struct str label;
	struct str labels;
	struct str key;
	const struct json *array;
	bool flag;
	bool must;
	struct str text;
	struct str name;
	struct id_list ids;
	size_t choice;
};

static const struct field fields[] = {
	{"integer", FIELD_INTEGER, false, offsetof(struct target, integer), -5, 1000},
	{"time", FIELD_TIME, false, offsetof(struct target, time), 0, 0},
	{"id", FIELD_PLAYER, false, offsetof(struct target, id), 0, 0},
	{"label", FIELD_LABEL, false, offsetof(struct target, label), 0, 0},
	{"labels", FIELD_LABELS, false, offsetof(struct target, labels), 0, 3},
	{"key", FIELD_KEY, false, offsetof(struct target, key), 0, 0},
	{"array", FIELD_ARRAY, false, offsetof(struct target, array), 1, 2},
	{"flag", FIELD_BOOLEAN, false, offsetof(struct target, flag), 0, 1},
	{"must", FIELD_BOOLEAN, false, offsetof(struct target, must), 1, 1},
	{"text", FIELD_TEXT, false, offsetof(struct target, text), 1, 5},
	{"name", FIELD_ID, false, offsetof(struct target, name), 0, 0},
	{"ids", FIELD_IDS, false, offsetof(struct target, ids), 1, 3},
	{"choice", FIELD_CHOICE, false, offsetof(struct target, choice), CHOICE_CLAIMS, 0},
};

static struct arena arena;
static struct faults faults;
static struct target target;
static struct json *document;

/* Decodes a document with single quotes for double ones. */
static bool
decode_by(const struct field *table, size_t count, const char *pointer, const char *text)
{
	char *copy = arena_copy(&arena, str_from(text));
	char detail[JSON_DETAIL_SIZE];

	for (char *at = copy; *at; at++)
		if (*at == '\'')
			*at = '"';
	json_free(document);
	document = NULL;
	if (json_parse(str_from(copy), &document, detail) != ERR_OK) {
		printf("# %s: %s\n", copy, detail);
		CU_FAIL("the test's own document");
		return false;
	}
	faults_init(&faults, &arena);
	target = (struct target){.integer = 7777, .time = 7777, .id = STR("untouched")};
	return fields_decode(document, pointer, table, count, &target, &faults);
}

static bool
decode(const char *text)
{
	return decode_by(fields, COUNT_OF(fields), "", text);
}

#define X64  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X128 X64 X64

static void
test_refusals(void)
{
	static const struct {
		const char *document;
		const char *pointer; /* of the one fault; NULL: accepted */
		const char *code;
	} cases[] = {
		{"{}", NULL, NULL},
		{"{'integer':-5}", NULL, NULL},
		{"{'integer':1000}", NULL, NULL},
		{"{'integer':1e2}", NULL, NULL},
		{"{'integer':5.0}", NULL, NULL},
		{"{'integer':-6}", "/integer", "out_of_range"},
		{"{'integer':1001}", "/integer", "out_of_range"},
		{"{'integer':1.5}", "/integer", "out_of_range"},
		{"{'integer':1e300}", "/integer", "out_of_range"},
		{"{'integer':99999999999999999999}", "/integer", "out_of_range"},
		{"{'integer':'5'}", "/integer", "wrong_type"},
		{"{'integer':true}", "/integer", "wrong_type"},
		{"{'integer':null}", "/integer", "wrong_type"},
		{"{'integer':[5]}", "/integer", "wrong_type"},
		{"{'time':'2026-01-31T12:00:00Z'}", NULL, NULL},
		{"{'time':'2026-01-31T12:00:00.5+02:00'}", NULL, NULL},
		{"{'time':'2026-02-30T12:00:00Z'}", "/time", "bad_form"},
		{"{'time':'2026-01-31'}", "/time", "bad_form"},
		{"{'time':''}", "/time", "bad_form"},
		{"{'time':1700000000}", "/time", "wrong_type"},
		{"{'id':'p-1._Z'}", NULL, NULL},
		{"{'id':'" X64 "'}", NULL, NULL},
		{"{'id':'" X64 "x'}", "/id", "bad_form"},
		{"{'id':''}", "/id", "bad_form"},
		{"{'id':'a b'}", "/id", "bad_form"},
		{"{'id':'a/b'}", "/id", "bad_form"},
		{"{'id':'a:b'}", "/id", "bad_form"},
		{"{'id':'\\u00e9'}", "/id", "bad_form"},
		{"{'id':'me'}", "/id", "bad_form"},
		{"{'id':5}", "/id", "wrong_type"},
		{"{'id':{}}", "/id", "wrong_type"},
		{"{'label':'match:ranked/eu_1.x-y'}", NULL, NULL},
		{"{'label':'" X64 "'}", NULL, NULL},
		{"{'label':'" X64 "x'}", "/label", "bad_form"},
		{"{'label':''}", "/label", "bad_form"},
		{"{'label':'a\\u0022b'}", "/label", "bad_form"},
		{"{'label':null}", "/label", "wrong_type"},
		{"{'labels':[]}", NULL, NULL},
		{"{'labels':['a','b','c']}", NULL, NULL},
		{"{'labels':['a','b','c','d']}", "/labels", "out_of_range"},
		{"{'labels':['a','']}", "/labels/1", "bad_form"},
		{"{'labels':['a',5]}", "/labels/1", "wrong_type"},
		{"{'labels':'a'}", "/labels", "wrong_type"},
		{"{'labels':{}}", "/labels", "wrong_type"},
		{"{'key':'!~0-9\\\\'}", NULL, NULL},
		{"{'key':'" X128 "'}", NULL, NULL},
		{"{'key':'" X128 "x'}", "/key", "bad_form"},
		{"{'key':''}", "/key", "bad_form"},
		{"{'key':'a b'}", "/key", "bad_form"},
		{"{'key':'a\\tb'}", "/key", "bad_form"},
		{"{'key':'a\\u007f'}", "/key", "bad_form"},
		{"{'key':'\\u00e9'}", "/key", "bad_form"},
		{"{'array':[1]}", NULL, NULL},
		{"{'array':[1,{}]}", NULL, NULL},
		{"{'array':[]}", "/array", "out_of_range"},
		{"{'array':[1,2,3]}", "/array", "out_of_range"},
		{"{'array':{}}", "/array", "wrong_type"},
		{"{'flag':true}", NULL, NULL},
		{"{'flag':false}", NULL, NULL},
		{"{'flag':0}", "/flag", "wrong_type"},
		{"{'flag':'true'}", "/flag", "wrong_type"},
		{"{'flag':null}", "/flag", "wrong_type"},
		{"{'must':true}", NULL, NULL},
		{"{'must':false}", "/must", "out_of_range"},
		{"{'text':'x'}", NULL, NULL},
		{"{'text':'a\\tb\\nc'}", NULL, NULL},
		{"{'text':'\u00e4\u00e4\u00e4\u00e4\u00e4'}", NULL, NULL},
		{"{'text':'\U0001f600\U0001f600\U0001f600\U0001f600\U0001f600'}", NULL, NULL},
		{"{'text':'\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4'}", "/text", "out_of_range"},
		{"{'text':'123456'}", "/text", "out_of_range"},
		{"{'text':''}", "/text", "out_of_range"},
		{"{'text':'a\\rb'}", "/text", "bad_form"},
		{"{'text':'\\u0001'}", "/text", "bad_form"},
		{"{'text':'\\u007f'}", "/text", "bad_form"},
		{"{'text':'\\u0080'}", "/text", "bad_form"},
		{"{'text':'\\u009f'}", "/text", "bad_form"},
		{"{'text':'\\u00a0'}", NULL, NULL},
		{"{'text':5}", "/text", "wrong_type"},
		{"{'text':['x']}", "/text", "wrong_type"},
		{"{'name':'premium-plus'}", NULL, NULL},
		{"{'name':'me'}", NULL, NULL},
		{"{'name':'" X64 "'}", NULL, NULL},
		{"{'name':'" X64 "x'}", "/name", "bad_form"},
		{"{'name':''}", "/name", "bad_form"},
		{"{'name':'a:b'}", "/name", "bad_form"},
		{"{'name':null}", "/name", "wrong_type"},
		{"{'ids':['a','b.1','c']}", NULL, NULL},
		{"{'ids':['a','a']}", NULL, NULL},
		{"{'ids':[]}", "/ids", "out_of_range"},
		{"{'ids':['a','b','c','d']}", "/ids", "out_of_range"},
		{"{'ids':['a','b c']}", "/ids/1", "bad_form"},
		{"{'ids':[null]}", "/ids/0", "wrong_type"},
		{"{'ids':'a'}", "/ids", "wrong_type"},
		{"{'ids':null}", "/ids", "wrong_type"},
		{"{'choice':'keep'}", NULL, NULL},
		{"{'choice':'forget'}", NULL, NULL},
		{"{'choice':'KEEP'}", "/choice", "bad_form"},
		{"{'choice':'kee'}", "/choice", "bad_form"},
		{"{'choice':''}", "/choice", "bad_form"},
		{"{'choice':1}", "/choice", "wrong_type"},
		{"{'choice':true}", "/choice", "wrong_type"},
		{"{'other':1}", "/other", "unknown_field"},
		{"{'Integer':1}", "/Integer", "unknown_field"},
		{"{'':1}", "/", "unknown_field"},
		{"{'a/b~c':1}", "/a~1b~0c", "unknown_field"},
		{"{'~1':1}", "/~01", "unknown_field"},
		{"[]", "", "wrong_type"},
		{"null", "", "wrong_type"},
		{"'x'", "", "wrong_type"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		bool good = decode(cases[i].document);

		if (good != !cases[i].pointer || faults.count != !good)
			printf("# %s\n", cases[i].document);
		CU_ASSERT_EQUAL(good, cases[i].pointer == NULL);
		CU_ASSERT_EQUAL(faults.count, cases[i].pointer ? 1 : 0);
		if (!faults.count || !cases[i].pointer)
			continue;
		CU_ASSERT_STRING_EQUAL(faults.items[0].pointer, cases[i].pointer);
		CU_ASSERT_STRING_EQUAL(faults.items[0].code, cases[i].code);
		CU_ASSERT(faults.items[0].detail[0] != '\0');
		CU_ASSERT(target.integer == 7777 && target.time == 7777 && str_equal(target.id, STR("untouched")));
	}
}

static void
test_values(void)
{
	CU_ASSERT_TRUE(decode("{'integer':42,'time':'1970-01-01T00:00:01.5Z','id':'p','label':'a:b',"
			      "'labels':['x','y/z'],'key':'k','array':[1]}"));
	CU_ASSERT_EQUAL(target.integer, 42);
	CU_ASSERT_EQUAL(target.time, 1500);
	CU_ASSERT(str_equal(target.id, STR("p")));
	CU_ASSERT(str_equal(target.label, STR("a:b")));
	CU_ASSERT(str_equal(target.labels, STR("[\"x\",\"y/z\"]")));
	CU_ASSERT(str_equal(target.key, STR("k")));
	CU_ASSERT_EQUAL(json_count(target.array), 1);
	/* Texts outlive the document. */
	json_free(document);
	document = NULL;
	CU_ASSERT(str_equal(target.id, STR("p")) && str_equal(target.key, STR("k")));
	CU_ASSERT_TRUE(decode("{'labels':[]}"));
	CU_ASSERT(str_equal(target.labels, STR("[]")));
}

static void
test_more_values(void)
{
	CU_ASSERT_TRUE(
		decode("{'flag':true,'must':true,'text':'a\u00e4\\n','name':'n','ids':['x','y.2'],'choice':'forget'}"));
	CU_ASSERT(target.flag && target.must);
	json_free(document);
	document = NULL;
	CU_ASSERT(str_equal(target.text, STR("a\u00e4\n")));
	CU_ASSERT(str_equal(target.name, STR("n")));
	CU_ASSERT_EQUAL_FATAL(target.ids.count, 2);
	CU_ASSERT(str_equal(target.ids.ids[0], STR("x")) && str_equal(target.ids.ids[1], STR("y.2")));
	CU_ASSERT_EQUAL(target.choice, CLAIMS_FORGET);
	CU_ASSERT_TRUE(decode("{'choice':'keep'}"));
	CU_ASSERT(target.choice == CLAIMS_KEEP && target.ids.count == 0);
}

static struct str
printed_by(const struct field *table, size_t count, const char *text)
{
	struct buf out;

	CU_ASSERT_TRUE(decode_by(table, count, "", text));
	buf_init(&out);
	fields_print(table, count, &target, &out);
	struct str copy = arena_str(&arena, buf_view(&out));

	buf_release(&out);
	return copy;
}

static struct str
printed(const char *text)
{
	return printed_by(fields, COUNT_OF(fields), text);
}

/* Bodies that say the same print the same, and no others: a request's hash is made of it. */
static void
test_print(void)
{
	static const char *const bodies[] = {
		"{}",
		"{'integer':5}",
		"{'integer':-5}",
		"{'time':'1970-01-01T00:00:05Z'}",
		"{'flag':true}",
		"{'must':true}",
		"{'text':'ab'}",
		"{'text':'a'}",
		"{'text':'1:a'}",
		"{'text':'a\\n'}",
		"{'name':'ab'}",
		"{'name':'a','text':'b'}",
		"{'text':'a','name':'b'}",
		"{'ids':['a']}",
		"{'ids':['a','b']}",
		"{'ids':['b','a']}",
		"{'ids':['ab']}",
		"{'ids':['a','a']}",
		"{'choice':'forget'}",
		"{'label':'x'}",
		"{'labels':['x']}",
		"{'key':'x'}",
		"{'id':'x'}",
	};

	for (size_t i = 0; i < COUNT_OF(bodies); i++)
		for (size_t k = 0; k < COUNT_OF(bodies); k++)
			CU_ASSERT_EQUAL(str_equal(printed(bodies[i]), printed(bodies[k])), i == k);
	CU_ASSERT(str_equal(printed("{'text':'a','integer':5}"), printed("{'integer':5.0,'text':'\\u0061'}")));
	/* No text can look like the end of it and the next one. */
	static const struct field texts[] = {
		{"a", FIELD_TEXT, true, offsetof(struct target, text), 1, 50},
		{"b", FIELD_TEXT, true, offsetof(struct target, name), 1, 50},
	};

	CU_ASSERT_FALSE(str_equal(printed_by(texts, 2, "{'a':'x\\nb=y','b':'z'}"),
				  printed_by(texts, 2, "{'a':'x','b':'y\\nb=z'}")));
	CU_ASSERT(str_equal(printed("{'flag':false,'choice':'keep'}"), printed("{}")));
}

static void
test_required(void)
{
	static const struct field table[] = {
		{"a/b", FIELD_INTEGER, true, offsetof(struct target, integer), 0, 9},
		{"id", FIELD_PLAYER, true, offsetof(struct target, id), 0, 0},
		{"label", FIELD_LABEL, false, offsetof(struct target, label), 0, 0},
	};

	CU_ASSERT_FALSE(decode_by(table, COUNT_OF(table), "/grants/7", "{'x':1}"));
	CU_ASSERT_EQUAL(faults.count, 3);
	CU_ASSERT_STRING_EQUAL(faults.items[0].pointer, "/grants/7/x");
	CU_ASSERT_STRING_EQUAL(faults.items[1].pointer, "/grants/7/a~1b");
	CU_ASSERT_STRING_EQUAL(faults.items[1].code, "required");
	CU_ASSERT_STRING_EQUAL(faults.items[2].pointer, "/grants/7/id");
	CU_ASSERT_EQUAL(faults_err(&faults), ERR_INVALID_FIELD);
	/* Null is there, and of a wrong type: one fault, not two. */
	CU_ASSERT_FALSE(decode_by(table, COUNT_OF(table), "", "{'a/b':null,'id':'x'}"));
	CU_ASSERT_EQUAL(faults.count, 1);
	CU_ASSERT_STRING_EQUAL(faults.items[0].code, "wrong_type");
	CU_ASSERT_TRUE(decode_by(table, COUNT_OF(table), "", "{'a/b':1,'id':'x'}"));
}

static void
test_all_faults_are_told(void)
{
	CU_ASSERT_FALSE(decode("{'integer':'x','id':5,'y':1,'label':'','labels':['','a','']}"));
	CU_ASSERT_EQUAL(faults.count, 6);
	CU_ASSERT_EQUAL(faults_err(&faults), ERR_INVALID_FIELD);
	CU_ASSERT_FALSE(decode("{'y':1,'z':2}"));
	CU_ASSERT_EQUAL(faults_err(&faults), ERR_UNKNOWN_FIELD);
}

/* More than a list of faults holds: still a refusal. */
static void
test_more_faults_than_fit(void)
{
	char text[8192];
	size_t at = 0;

	at += (size_t)snprintf(text + at, sizeof(text) - at, "{");
	for (int i = 0; i < FAULTS_MAX + 50; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s'u%d':1", i ? "," : "", i);
	snprintf(text + at, sizeof(text) - at, "}");
	CU_ASSERT_FALSE(decode(text));
	CU_ASSERT_EQUAL(faults.count, FAULTS_MAX);
	CU_ASSERT_EQUAL(faults.dropped, 50);
	/* The list is full already: one more fault is a fault. */
	CU_ASSERT_FALSE(fields_decode(json_first(document), "", fields, COUNT_OF(fields), &target, &faults));
	CU_ASSERT_EQUAL(faults.dropped, 51);
}

/* Names of every length, of one to four bytes a character and of what is escaped: a pointer is cut between characters.
 */
static void
test_long_names(void)
{
	static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xae", "~", "/"};

	for (size_t c = 0; c < COUNT_OF(characters); c++) {
		for (size_t length = 1; length < 300; length++) {
			char text[1500] = "{'";
			size_t lead = length % 4;

			for (size_t i = 0; i < lead; i++)
				strcat(text, "a");
			for (size_t i = 0; i < length; i++)
				strcat(text, characters[c]);
			strcat(text, "':1}");
			CU_ASSERT_FALSE(decode(text));
			const char *pointer = faults.items[0].pointer;

			CU_ASSERT_TRUE(utf8_valid(str_from(pointer)));
			CU_ASSERT(pointer[0] == '/' && strlen(pointer) < 256);
			CU_ASSERT(strlen(pointer) > 240 || length * strlen(characters[c]) < 256);
			/* No half of an escape. */
			CU_ASSERT(pointer[strlen(pointer) - 1] != '~');
		}
		arena_reset(&arena);
	}
}

static void
test_long_base(void)
{
	char base[400];

	memset(base, 'b', sizeof(base));
	base[0] = '/';
	base[sizeof(base) - 1] = '\0';
	CU_ASSERT_FALSE(decode_by(fields, COUNT_OF(fields), base, "{'labels':[5],'" X128 X128 "':1}"));
	CU_ASSERT_EQUAL(faults.count, 2);
}

static void
test_characters(void)
{
	for (int c = 0; c < 256; c++) {
		char text = (char)c;
		bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		bool mark = c == '.' || c == '_' || c == '-' || c == ':' || c == '/';

		CU_ASSERT_EQUAL(label_valid((struct str){&text, 1}), word || mark);
		CU_ASSERT_EQUAL(idempotency_key_valid((struct str){&text, 1}), c > 0x20 && c < 0x7f);
	}
	CU_ASSERT_FALSE(label_valid(STR_NONE));
	CU_ASSERT_FALSE(idempotency_key_valid(STR_NONE));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"each kind takes and refuses", test_refusals},
		{"values", test_values},
		{"values of an operation", test_more_values},
		{"what was decoded, printed", test_print},
		{"required fields", test_required},
		{"all faults are told", test_all_faults_are_told},
		{"more faults than fit", test_more_faults_than_fit},
		{"long names", test_long_names},
		{"a long pointer", test_long_base},
		{"characters", test_characters},
		CU_TEST_INFO_NULL,
	};

	arena_init(&arena);
	int status = tap_main("api/fields", tests);

	json_free(document);
	arena_release(&arena);
	return status;
}
