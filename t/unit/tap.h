/*
 * The TAP main of a CUnit program: one program a module, one line a test, so that prove can run them all.
 */
#ifndef BP_T_UNIT_TAP_H
#define BP_T_UNIT_TAP_H

#include <CUnit/CUnit.h>

/*
 * Runs the tests (the table ends with CU_TEST_INFO_NULL), prints TAP, each failed assertion as a comment with file and
 * line. Returns the exit status for main(): 0 when all passed.
 */
int tap_main(const char *module, CU_TestInfo *tests);

/* Seed of the random histories: TEST_SEED from the environment or a fresh one; printed as a TAP comment. */
unsigned long long tap_seed(void);

#endif
