/* libnvidia-ml for tests: the symbols that we bind, with the signatures of nvml.h 13.0.
 *
 *   FAKE_DEVICES     number of devices, 2 unless set
 *   FAKE_PROCESSES   processes on each device, 3 unless set
 *   FAKE_PID         the first process on the second device has this number
 *   FAKE_FAIL        see fail.h
 *
 * Every value names its device, so that a test sees where it came from. */
#include "fail.h"

enum {
  success = 0, uninitialized = 1, invalidArgument = 2, notFound = 6, insufficientSize = 7, driverNotLoaded = 9,
  noneSticks = -1
};

typedef struct {
  int index;
} Device;
typedef struct {
  unsigned long long total, free, used;
} Memory;
typedef struct {
  unsigned gpu, memory;
} Utilization;
typedef struct {
  unsigned pid;
  unsigned long long usedGpuMemory;
  unsigned gpuInstanceId, computeInstanceId;
} Process;

static Device devices[16];
static int users;

#define BEGIN                                               \
  do {                                                      \
    int code = failureOf(__func__, noneSticks);            \
    if (code != success) return code;                       \
    if (users == 0) return uninitialized;                   \
  } while (0)

static unsigned deviceCount(void) { return (unsigned)numberFrom("FAKE_DEVICES", 2); }

static int write(char *text, unsigned bytes, const char *format, int number) {
  return snprintf(text, bytes, format, number) >= (int)bytes ? insufficientSize : success;
}

const char *nvmlErrorString(int code) {
  switch (code) {
  case uninitialized: return "Uninitialized";
  case invalidArgument: return "Invalid Argument";
  case notFound: return "Not Found";
  case driverNotLoaded: return "Driver Not Loaded";
  default: return "Unknown Error";
  }
}

int nvmlInit_v2(void) {
  int code = failureOf(__func__, noneSticks);
  if (code == success) users++;
  return code;
}

int nvmlShutdown(void) {
  BEGIN;
  users--;
  return success;
}

int nvmlSystemGetDriverVersion(char *version, unsigned bytes) {
  BEGIN;
  return write(version, bytes, "580.%d.06", 65);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
  BEGIN;
  *count = deviceCount();
  return success;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
  BEGIN;
  if (index >= deviceCount()) return invalidArgument;
  *device = &devices[index];
  (*device)->index = (int)index;
  return success;
}

int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned bytes) {
  BEGIN;
  return write(uuid, bytes, "GPU-00000000-0000-0000-0000-%012d", device->index);
}

static int byText(const char *text, const char *format, int first, Device **device) {
  for (unsigned index = 0; index < deviceCount(); index++) {
    char own[96];
    snprintf(own, sizeof own, format, first + (int)index);
    if (strcmp(own, text) == 0) return nvmlDeviceGetHandleByIndex_v2(index, device);
  }
  return notFound;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
  BEGIN;
  return byText(uuid, "GPU-00000000-0000-0000-0000-%012d", 0, device);
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *pciBusId, Device **device) {
  BEGIN;
  return byText(pciBusId, "0000:%02X:00.0", 0x1a, device);
}

int nvmlDeviceGetName(Device *device, char *name, unsigned bytes) {
  BEGIN;
  return write(name, bytes, "Fake GPU %d", device->index);
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
  BEGIN;
  unsigned long long total = 141ull << 30, used = (5ull << 30) + (unsigned)device->index;
  *memory = (Memory){total, total - used, used};
  return success;
}

int nvmlDeviceGetUtilizationRates(Device *device, Utilization *utilization) {
  BEGIN;
  *utilization = (Utilization){90u + (unsigned)device->index, 40u + (unsigned)device->index};
  return success;
}

/* The first process has the number FAKE_PID where that is set; the last one hides what it uses. */
int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *processes) {
  BEGIN;
  unsigned room = *count;
  *count = (unsigned)numberFrom("FAKE_PROCESSES", 3);
  if (room < *count) return insufficientSize;
  for (unsigned index = 0; index < *count; index++) {
    unsigned long long bytes = index + 1 == *count ? ~0ull : (5ull << 30) + index;
    unsigned pid = 1000u * (1u + (unsigned)device->index) + index;
    if (index == 0 && device->index == 1) pid = (unsigned)numberFrom("FAKE_PID", (int)pid);
    processes[index] = (Process){pid, bytes, ~0u, ~0u};
  }
  return success;
}
