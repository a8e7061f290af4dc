/* TAP over CUnit: see tap.h. */
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned number;
static unsigned failed;

static void
report(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
	(void)suite;
	printf("%s %u - %s\n", failure ? "not ok" : "ok", ++number, test->pName);
	failed += failure != NULL;
	for (CU_pFailureRecord each = failure; each; each = each->pNext)
		printf("# %s:%u: %s\n", each->strFileName, each->uiLineNumber, each->strCondition);
	fflush(stdout);
}

int
tap_main(const char *module, CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {{.pName = module, .pTests = tests}, CU_SUITE_INFO_NULL};
	unsigned count = 0;

	while (tests[count].pName)
		count++;
	printf("1..%u\n", count);
	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
		printf("Bail out! CUnit: %s\n", CU_get_error_msg());
		return 2;
	}
	CU_set_test_complete_handler(report);
	CU_run_all_tests();
	CU_cleanup_registry();
	return failed || number != count;
}

unsigned long long
tap_seed(void)
{
	const char *given = getenv("TEST_SEED");
	unsigned long long seed = given ? strtoull(given, NULL, 10) : (unsigned long long)time(NULL);

	printf("# TEST_SEED=%llu\n", seed);
	return seed;
}
