/* libnvidia-ml for tests: the symbols that we bind, with the signatures of nvml.h 13.0.
 *
 *   FAKE_DEVICES     number of devices, 2 unless set
 *   FAKE_PROCESSES   processes on each device, 3 unless set
 *   FAKE_PID         the first process on the second device has this number
 *   FAKE_SAMPLES     the driver's ring buffer, "microseconds:percent ..."; devices but the first have the double of it
 *   FAKE_VALUE_TYPE  nvmlValueType_t of these, 1 (unsigned int) unless set
 *   FAKE_GPM         1: the devices have GPM (Hopper), which is so unless set; 0: they do not
 *   FAKE_SM_PERCENT  what GPM counts as busy SMs on the first device, 62 unless set
 *   FAKE_FAIL        see fail.h
 *
 * nvml-old.c is the same without GPM.
 * Every value names its device, so that a test sees where it came from. */
#include "fail.h"

enum {
  success = 0, uninitialized = 1, invalidArgument = 2, notSupported = 3, notFound = 6, insufficientSize = 7,
  driverNotLoaded = 9, versionMismatch = 25, noneSticks = -1
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
  case notSupported: return "Not Supported";
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

typedef union {
  double dVal;
  int siVal;
  unsigned uiVal;
  unsigned long ulVal;
  unsigned long long ullVal;
  signed long long sllVal;
  unsigned short usVal;
} Value;
typedef struct {
  unsigned long long timeStamp;
  Value sampleValue;
} Sample;

static Value valueOf(int type, unsigned percent) {
  Value value;
  memset(&value, 0xff, sizeof value);
  switch (type) {
  case 0: value.dVal = percent; break;
  case 1: value.uiVal = percent; break;
  case 2: value.ulVal = percent; break;
  case 3: value.ullVal = percent; break;
  case 4: value.sllVal = percent; break;
  case 5: value.siVal = (int)percent; break;
  case 6: value.usVal = (unsigned short)percent; break;
  }
  return value;
}

/* Without room for samples it tells how large the buffer is, and not how many of them are new. */
int nvmlDeviceGetSamples(Device *device, int type, unsigned long long lastSeenTimeStamp, int *valueType,
                         unsigned *count, Sample *samples) {
  BEGIN;
  const unsigned capacity = 100;
  if (type != 1 || (samples != NULL && *count == 0)) return invalidArgument;
  *valueType = numberFrom("FAKE_VALUE_TYPE", 1);
  const char *text = getenv("FAKE_SAMPLES");
  unsigned room = samples == NULL ? capacity : *count, found = 0;
  unsigned long long timeStamp;
  unsigned percent;
  int length;
  for (; text != NULL && sscanf(text, " %llu:%u%n", &timeStamp, &percent, &length) == 2; text += length) {
    if (timeStamp <= lastSeenTimeStamp || found == room) continue;
    if (samples != NULL) samples[found] = (Sample){timeStamp, valueOf(*valueType, percent << (device->index > 0))};
    found++;
  }
  if (found == 0) return notFound;
  *count = samples == NULL ? capacity : found;
  return success;
}

static int pcie(Device *device, unsigned base, unsigned *value) {
  *value = base + (unsigned)device->index;
  return success;
}

int nvmlDeviceGetCurrPcieLinkGeneration(Device *device, unsigned *value) {
  BEGIN;
  return pcie(device, 4, value);
}

int nvmlDeviceGetCurrPcieLinkWidth(Device *device, unsigned *value) {
  BEGIN;
  return pcie(device, 8, value);
}

int nvmlDeviceGetMaxPcieLinkGeneration(Device *device, unsigned *value) {
  BEGIN;
  return pcie(device, 5, value);
}

int nvmlDeviceGetMaxPcieLinkWidth(Device *device, unsigned *value) {
  BEGIN;
  return pcie(device, 16, value);
}

typedef struct {
  int deviceIndex;
  /* Of the samples that were taken, from 1; 0: nothing was yet. */
  int number;
} GpmSample;
typedef struct {
  unsigned version, isSupportedDevice;
} GpmSupport;
typedef struct {
  unsigned metricId;
  int nvmlReturn;
  double value;
  struct {
    char *shortName, *longName, *unit;
  } metricInfo;
} GpmMetric;
typedef struct {
  unsigned version, numMetrics;
  GpmSample *sample1, *sample2;
  GpmMetric metrics[477];
} GpmMetricsGet;

#ifndef WITHOUT_GPM
static int gpmSamplesTaken, gpmSamplesLive;

/* Allocated and not freed yet. */
int fakeLiveGpmSamples(void) { return gpmSamplesLive; }

int nvmlGpmQueryDeviceSupport(Device *device, GpmSupport *support) {
  BEGIN;
  (void)device;
  if (support->version != 1) return versionMismatch;
  support->isSupportedDevice = (unsigned)numberFrom("FAKE_GPM", 1);
  return success;
}

int nvmlGpmSampleAlloc(GpmSample **sample) {
  BEGIN;
  *sample = calloc(1, sizeof **sample);
  gpmSamplesLive++;
  return success;
}

int nvmlGpmSampleFree(GpmSample *sample) {
  BEGIN;
  gpmSamplesLive--;
  free(sample);
  return success;
}

int nvmlGpmSampleGet(Device *device, GpmSample *sample) {
  BEGIN;
  *sample = (GpmSample){device->index, ++gpmSamplesTaken};
  return success;
}

/* A metric has its number, and a quarter for each device; the share of busy SMs comes from the environment, the traffic
 * to the GPU is refused. */
int nvmlGpmMetricsGet(GpmMetricsGet *get) {
  BEGIN;
  if (get->version != 1) return versionMismatch;
  const GpmSample *older = get->sample1, *newer = get->sample2;
  if (older->number == 0 || newer->number <= older->number) return invalidArgument;
  if (older->deviceIndex != newer->deviceIndex) return invalidArgument;
  for (unsigned index = 0; index < get->numMetrics; index++) {
    GpmMetric *metric = &get->metrics[index];
    int whole = metric->metricId == 2 ? numberFrom("FAKE_SM_PERCENT", 62) : (int)metric->metricId;
    metric->nvmlReturn = metric->metricId == 21 ? notSupported : success;
    metric->value = whole + 0.25 * older->deviceIndex;
  }
  return success;
}
#endif
