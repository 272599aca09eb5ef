/* What the fake libraries share: FAKE_FAIL=function:code:nth makes the nth call of a function (from 1; 0: every one)
 * give that code. Counting starts anew when the variable changes. For one thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int numberFrom(const char *variable, int otherwise) {
  const char *text = getenv(variable);
  return text == NULL || *text == 0 ? otherwise : atoi(text);
}

/* Code with which a call of the function has to fail, or 0. The code that sticks is from then on that of every call. */
static int failureOf(const char *function, int sticky) {
  static char seen[256];
  static int calls, stuck;
  const char *wanted = getenv("FAKE_FAIL");
  if (wanted == NULL) wanted = "";
  if (strncmp(wanted, seen, sizeof seen - 1) != 0) {
    snprintf(seen, sizeof seen, "%s", wanted);
    calls = stuck = 0;
  }
  if (stuck != 0) return stuck;
  size_t length = strlen(function);
  if (strncmp(wanted, function, length) != 0 || wanted[length] != ':') return 0;
  int code = 0, nth = 0;
  sscanf(wanted + length, ":%d:%d", &code, &nth);
  calls++;
  if (nth != 0 && calls != nth) return 0;
  if (code == sticky) stuck = code;
  return code;
}
