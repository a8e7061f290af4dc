/* Tests of auth/base64url: every run of bytes has one text, and every other text is refused. */
#include "auth/base64url.h"

#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void
decodes_what_it_encodes(void)
{
	unsigned long long state = tap_seed() | 1;
	unsigned char bytes[64];
	unsigned char back[64];

	for (size_t round = 0; round < 2000; round++) {
		size_t len = round % (sizeof(bytes) + 1);
		size_t decoded = 99;
		struct buf text;

		for (size_t i = 0; i < len; i++) {
			state = state * 6364136223846793005ull + 1442695040888963407ull;
			bytes[i] = (unsigned char)(state >> 56);
		}
		buf_init(&text);
		base64url_encode(&text, bytes, len);
		CU_ASSERT_EQUAL(text.len, (len * 4 + 2) / 3);
		CU_ASSERT(base64url_decode(buf_view(&text), back, len, &decoded));
		CU_ASSERT(decoded == len && memcmp(bytes, back, len) == 0);
		if (len)
			CU_ASSERT_FALSE(base64url_decode(buf_view(&text), back, len - 1, &decoded));
		buf_release(&text);
	}
}

static void
decodes_examples(void)
{
	/* RFC 4648, section 10, without padding. */
	static const struct {
		const char *text;
		const char *bytes;
	} examples[] = {{"", ""},           {"Zg", "f"},          {"Zm8", "fo"},          {"Zm9v", "foo"},
			{"Zm9vYg", "foob"}, {"Zm9vYmE", "fooba"}, {"Zm9vYmFy", "foobar"}, {"-_-_", "\xfb\xff\xbf"}};

	for (size_t i = 0; i < COUNT_OF(examples); i++) {
		unsigned char bytes[16];
		size_t len = 99;

		CU_ASSERT(base64url_decode(str_from(examples[i].text), bytes, sizeof(bytes), &len));
		CU_ASSERT(str_equal((struct str){(const char *)bytes, len}, str_from(examples[i].bytes)));
	}
}

static void
refuses_every_other_text(void)
{
	static const char *const bad[] = {"A",    "AAAAA", "Zg==", "Zg=",   "Zm8=",       "Zh",
					  "Zm9",  "Z_",    "+/+/", "Zm 9v", "Zm9v\n",     "Zm9v ",
					  "Zm.v", "Zm9v=", "=",    "====",  "\xc3\xa9zz", "Zm9vY"};
	unsigned char bytes[16];
	size_t len = 99;

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		CU_ASSERT_FALSE(base64url_decode(str_from(bad[i]), bytes, sizeof(bytes), &len));
	CU_ASSERT_FALSE(base64url_decode(STR("AA\0A"), bytes, sizeof(bytes), &len));
	CU_ASSERT_EQUAL(len, 99);
}

/* All texts of two and three characters: as many are accepted as there are bytes to say. */
static void
knows_one_text_for_each_value(void)
{
	unsigned char bytes[4];
	unsigned accepted[2] = {0};
	size_t len;

	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char text[] = {(char)a, (char)b, 'A'};

			accepted[0] += base64url_decode((struct str){text, 2}, bytes, sizeof(bytes), &len);
			accepted[1] += base64url_decode((struct str){text, 3}, bytes, sizeof(bytes), &len);
		}
	}
	CU_ASSERT_EQUAL(accepted[0], 256);
	CU_ASSERT_EQUAL(accepted[1], 64 * 64);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"decodes what it encodes", decodes_what_it_encodes},
		{"decodes examples", decodes_examples},
		{"refuses every other text", refuses_every_other_text},
		{"knows one text for each value", knows_one_text_for_each_value},
		CU_TEST_INFO_NULL,
	};

	return tap_main("auth/base64url", tests);
}
