/* libcudart for tests: the symbols that the driver binds, with the signatures of cuda_runtime_api.h 13.0, and those of
 * libcuda (cuda.h) with which `doctor` asks about devices.
 *
 *   FAKE_DEVICES   number of devices, 2 unless set
 *   FAKE_MIG       1: the devices are slices
 *   FAKE_MEM_MB    MiB of each device, 1024 unless set
 *   FAKE_FAIL      see fail.h
 *
 * Device memory is reserved, not taken, so that sizes above 4 GiB cost nothing. Streams are lazy: what is queued happens
 * when somebody waits for it, and an event counts as not ready until it was asked once. So a test sees nothing that it
 * did not wait for. For one thread. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include "fail.h"

enum {
  success = 0, invalidValue = 1, memoryAllocation = 2, invalidCopyDirection = 21, insufficientDriver = 35, noDevice = 100,
  invalidDevice = 101, invalidHandle = 400, notReady = 600, illegalAddress = 700, alreadyRegistered = 712,
  notRegistered = 713
};

typedef struct Stream Stream;

typedef struct Event {
  int live, asked, flags;
  long recorded, passed; /* numbers of records: the last one queued, the last one that happened */
  double ms;
  Stream *stream;
} Event;

typedef struct Operation {
  enum { copy, record, wait } kind;
  void *target;
  const void *source;
  size_t bytes;
  Event *event;
  Stream *recordedOn;
  long number;
  struct Operation *next;
} Operation;

/* Freed with the process: handles that were destroyed must still be told from live ones. */
struct Stream {
  int live;
  unsigned flags;
  Operation *first, *last;
  Stream *next;
};

typedef struct Block {
  char *start;
  size_t bytes;
  int device;
  struct Block *next;
} Block;

static Block *deviceBlocks, *pinnedBlocks;
static Stream *streams;
static int currentDevice, lastError;
static long liveStreams, liveEvents, records;
static int timesOpened[64];

static int fail(int code) {
  if (code != success) lastError = code;
  return code;
}

#define BEGIN                                        \
  do {                                               \
    int code = failureOf(__func__, illegalAddress);     \
    if (code != success) return fail(code);          \
    if (deviceCount() == 0) return fail(noDevice);   \
  } while (0)

static int deviceCount(void) { return numberFrom("FAKE_DEVICES", 2); }
static size_t deviceBytes(void) { return (size_t)numberFrom("FAKE_MEM_MB", 1024) << 20; }

static void add(Block **list, char *start, size_t bytes) {
  Block *block = malloc(sizeof *block);
  *block = (Block){start, bytes, currentDevice, *list};
  *list = block;
}

/* The link that points to the block which starts here, or to the end. */
static Block **find(Block **list, const char *start) {
  while (*list != NULL && (*list)->start != start) list = &(*list)->next;
  return list;
}

static size_t sumOf(const Block *list, int device) {
  size_t sum = 0;
  for (; list != NULL; list = list->next) sum += list->device == device ? list->bytes : 0;
  return sum;
}

/* Whether all of the range lies in one block of device memory. */
static int onDevice(const char *start, size_t bytes) {
  for (const Block *block = deviceBlocks; block != NULL; block = block->next) {
    if (start >= block->start && start < block->start + block->bytes) {
      return bytes <= (size_t)(block->start + block->bytes - start);
    }
  }
  return 0;
}

static void runUntil(Stream *stream, const Event *event, long number);

static void happen(const Operation *operation) {
  struct timespec now;
  switch (operation->kind) {
  case copy:
    memcpy(operation->target, operation->source, operation->bytes);
    break;
  case record:
    clock_gettime(CLOCK_MONOTONIC, &now);
    operation->event->passed = operation->number;
    operation->event->ms = now.tv_sec * 1e3 + now.tv_nsec / 1e6;
    break;
  case wait:
    if (operation->recordedOn != NULL) runUntil(operation->recordedOn, operation->event, operation->number);
    break;
  }
}

/* Lets what is queued happen until the event has passed; all of it where there is no event. */
static void runUntil(Stream *stream, const Event *event, long number) {
  while (stream->first != NULL && (event == NULL || event->passed < number)) {
    Operation *operation = stream->first;
    stream->first = operation->next;
    if (stream->first == NULL) stream->last = NULL;
    happen(operation);
    free(operation);
  }
}

static void queue(Stream *stream, Operation operation) {
  Operation *added = malloc(sizeof *added);
  *added = operation;
  if (stream->last == NULL) stream->first = added;
  else stream->last->next = added;
  stream->last = added;
}

const char *cudaGetErrorString(int code) {
  switch (code) {
  case success: return "no error";
  case invalidValue: return "invalid argument";
  case memoryAllocation: return "out of memory";
  case insufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
  case noDevice: return "no CUDA-capable device is detected";
  case invalidDevice: return "invalid device ordinal";
  case notReady: return "device not ready";
  case illegalAddress: return "an illegal memory access was encountered";
  default: return "unrecognized error code";
  }
}

int cudaGetLastError(void) {
  int stuck = failureOf(__func__, illegalAddress), code = lastError;
  if (stuck == success) lastError = success;
  return stuck != success ? stuck : code;
}

int cudaDriverGetVersion(int *version) { return *version = 13010, success; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, success; }

int cudaGetDeviceCount(int *count) {
  BEGIN;
  *count = deviceCount();
  return success;
}

int cudaSetDevice(int device) {
  BEGIN;
  if (device < 0 || device >= deviceCount()) return fail(invalidDevice);
  currentDevice = device;
  timesOpened[device]++;
  return success;
}

static void nameDevice(char *name, size_t bytes, int device) {
  snprintf(name, bytes, numberFrom("FAKE_MIG", 0) ? "Fake GPU %d MIG 1g.18gb" : "Fake GPU %d", device);
}

/* a0a1...af of the first device, b0b1...bf of the second. */
static void identify(unsigned char *uuid, int device) {
  for (int index = 0; index < 16; index++) uuid[index] = (unsigned char)(0xa0 + 0x10 * device + index);
}

int cudaGetDeviceProperties(void *properties, int device) {
  BEGIN;
  if (device < 0 || device >= deviceCount()) return fail(invalidDevice);
  memset(properties, 0xff, 4096);
  nameDevice(properties, 256, device);
  identify((unsigned char *)properties + 256, device);
  return success;
}

int cuInit(unsigned flags) { return flags == 0 ? success : invalidValue; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, success; }
int cuDeviceGetName(char *name, int bytes, int device) { return nameDevice(name, (size_t)bytes, device), success; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return (void)device, *bytes = deviceBytes(), success; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  return (void)device, *value = attribute == 75 ? 9 : 0, success;
}
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) { return identify(uuid, device), success; }

int cudaDeviceGetPCIBusId(char *text, int bytes, int device) {
  BEGIN;
  if (device < 0 || device >= deviceCount()) return fail(invalidDevice);
  snprintf(text, (size_t)bytes, "0000:%02X:00.0", 0x1a + device);
  return success;
}

int cudaMemGetInfo(size_t *free, size_t *total) {
  BEGIN;
  *total = deviceBytes();
  *free = *total - sumOf(deviceBlocks, currentDevice);
  return success;
}

int cudaMalloc(void **memory, size_t bytes) {
  BEGIN;
  *memory = NULL;
  if (bytes == 0) return success;
  if (bytes > deviceBytes() - sumOf(deviceBlocks, currentDevice)) return fail(memoryAllocation);
  void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return fail(memoryAllocation);
  add(&deviceBlocks, start, bytes);
  *memory = start;
  return success;
}

int cudaFree(void *memory) {
  BEGIN;
  Block **link = find(&deviceBlocks, memory), *block = *link;
  if (block == NULL) return fail(invalidValue);
  /* CUDA waits for the device, too. */
  for (Stream *stream = streams; stream != NULL; stream = stream->next) runUntil(stream, NULL, 0);
  munmap(block->start, block->bytes);
  *link = block->next;
  free(block);
  return success;
}

int cudaHostRegister(void *host, size_t bytes, unsigned flags) {
  BEGIN;
  if (host == NULL || bytes == 0 || flags > 15) return fail(invalidValue);
  if (*find(&pinnedBlocks, host) != NULL) return fail(alreadyRegistered);
  add(&pinnedBlocks, host, bytes);
  return success;
}

int cudaHostUnregister(void *host) {
  BEGIN;
  Block **link = find(&pinnedBlocks, host), *block = *link;
  if (block == NULL) return fail(notRegistered);
  *link = block->next;
  free(block);
  return success;
}

int cudaMemcpyAsync(void *target, const void *source, size_t bytes, int kind, Stream *stream) {
  BEGIN;
  if (stream == NULL || !stream->live) return fail(invalidHandle);
  if (kind < 1 || kind > 3) return fail(invalidCopyDirection);
  const void *device = kind == 2 ? source : target, *other = kind == 2 ? target : source;
  if (onDevice(other, 1) != (kind == 3)) return fail(invalidCopyDirection);
  if (bytes > 0 && !onDevice(device, bytes)) return fail(invalidValue);
  if (bytes > 0) queue(stream, (Operation){.kind = copy, .target = target, .source = source, .bytes = bytes});
  return success;
}

int cudaStreamCreateWithFlags(Stream **stream, unsigned flags) {
  BEGIN;
  *stream = calloc(1, sizeof **stream);
  **stream = (Stream){.live = 1, .flags = flags, .next = streams};
  streams = *stream;
  liveStreams++;
  return success;
}

int cudaStreamSynchronize(Stream *stream) {
  BEGIN;
  if (!stream->live) return fail(invalidHandle);
  runUntil(stream, NULL, 0);
  return success;
}

int cudaStreamDestroy(Stream *stream) {
  BEGIN;
  if (!stream->live) return fail(invalidHandle);
  stream->live = 0;
  liveStreams--;
  return success;
}

int cudaStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
  BEGIN;
  if (!stream->live || !event->live) return fail(invalidHandle);
  if (flags > 1) return fail(invalidValue);
  queue(stream, (Operation){.kind = wait, .event = event, .recordedOn = event->stream, .number = event->recorded});
  return success;
}

int cudaEventCreateWithFlags(Event **event, unsigned flags) {
  BEGIN;
  *event = calloc(1, sizeof **event);
  **event = (Event){.live = 1, .flags = (int)flags};
  liveEvents++;
  return success;
}

int cudaEventDestroy(Event *event) {
  BEGIN;
  if (!event->live) return fail(invalidHandle);
  event->live = 0;
  liveEvents--;
  return success;
}

int cudaEventRecord(Event *event, Stream *stream) {
  BEGIN;
  if (!event->live || !stream->live) return fail(invalidHandle);
  event->recorded = ++records;
  event->asked = 0;
  event->stream = stream;
  queue(stream, (Operation){.kind = record, .event = event, .number = event->recorded});
  return success;
}

int cudaEventQuery(Event *event) {
  BEGIN;
  if (!event->live) return fail(invalidHandle);
  if (event->passed == event->recorded) return success;
  if (event->asked++ == 0) return fail(notReady);
  runUntil(event->stream, event, event->recorded);
  return success;
}

int cudaEventSynchronize(Event *event) {
  BEGIN;
  if (!event->live) return fail(invalidHandle);
  if (event->stream != NULL) runUntil(event->stream, event, event->recorded);
  return success;
}

int cudaEventElapsedTime(float *ms, Event *start, Event *end) {
  BEGIN;
  if (!start->live || !end->live || start->recorded == 0 || end->recorded == 0) return fail(invalidHandle);
  if (start->passed != start->recorded || end->passed != end->recorded) return fail(notReady);
  *ms = (float)(end->ms - start->ms);
  return success;
}

/* For tests: how many of what is still there, what CUDA would hand to the next who asks for an error, flags. */
long fakeLiveStreams(void) { return liveStreams; }
long fakeLiveEvents(void) { return liveEvents; }
size_t fakeDeviceBytes(int device) { return sumOf(deviceBlocks, device); }
size_t fakePinnedBytes(void) { return sumOf(pinnedBlocks, 0) + sumOf(pinnedBlocks, 1); }
int fakeTimesOpened(int device) { return timesOpened[device]; }
int fakeLastError(void) { return lastError; }
int fakeEventFlags(const Event *event) { return event->flags; }
unsigned fakeStreamFlags(const Stream *stream) { return stream->flags; }
