/* Storage of so many bytes a second for the whole process (SLOW_STORAGE_BYTES), under a program that reads by pread:
   loaded before it (LD_PRELOAD). Only reads of Parquet files are slow: what a process reads to start is not. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* When all that was asked for so far has been given. */
static double free_at;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int is_shard(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 8) return 0;
  path[length] = 0;
  return strcmp(path + length - 8, ".parquet") == 0;
}

static void wait_for(ssize_t bytes) {
  const char *rate = getenv("SLOW_STORAGE_BYTES");
  if (rate == NULL || bytes <= 0) return;
  pthread_mutex_lock(&lock);
  double start = now();
  if (free_at < start) free_at = start;
  free_at += (double)bytes / atof(rate);
  double seconds = free_at - start;
  pthread_mutex_unlock(&lock);
  struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&pause, NULL);
}

ssize_t pread(int file, void *buffer, size_t bytes, off_t offset) {
  static ssize_t (*real)(int, void *, size_t, off_t);
  if (real == NULL) real = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
  ssize_t done = real(file, buffer, bytes, offset);
  if (is_shard(file)) wait_for(done);
  return done;
}
