/* SHA-256 against the examples of its standard. */
#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tap.h"

static void
expect(struct str data, const char *hex)
{
	unsigned char digest[DIGEST_SIZE];
	struct buf out;

	buf_init(&out);
	digest_sha256(data, digest);
	buf_hex(&out, digest, sizeof(digest));
	CU_ASSERT_STRING_EQUAL(buf_text(&out), hex);
	buf_release(&out);
}

static void
test_examples(void)
{
	expect(STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	expect(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
	       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	expect(STR(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect(STR_NONE, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void
test_a_million(void)
{
	char *data = malloc(1000000);

	if (!data)
		abort();
	memset(data, 'a', 1000000);
	expect((struct str){data, 1000000}, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(data);
}

/* One after the other: nothing of the one before is left. */
static void
test_again(void)
{
	for (int i = 0; i < 100; i++) {
		expect(STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
		expect(STR("a\0c"), "b179f49283f586ae1922b625af4017aecdf77e7ee175c0af675abea14252a666");
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"examples", test_examples},
		{"a million bytes", test_a_million},
		{"again and again", test_again},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/digest", tests);
}
