/* libnvidia-ml of a driver that does not know GPM's functions (older than 520). */
#define WITHOUT_GPM
#include "nvml.c"
