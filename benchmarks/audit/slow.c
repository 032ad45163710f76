/* A disk whose syncs take at least SYNC_US longer, preloaded: ratios that do not swing with the
   real disk. SQLite calls fsync or fdatasync, depending on how it was built. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int slow(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  int result = real(fd);
  const char *text = getenv("SYNC_US");
  long us = text ? atol(text) : 4000;
  struct timespec pause = {us / 1000000, (us % 1000000) * 1000};
  nanosleep(&pause, 0);
  return result;
}
int fdatasync(int fd) { return slow("fdatasync", fd); }
int fsync(int fd) { return slow("fsync", fd); }
