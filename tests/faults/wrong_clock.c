/* Preloaded, it makes the wall clock of a process wrong: by as many seconds as the file WRONG_CLOCK holds, an int64 that
 * a test may change at any time. The monotonic clock, sleeps and timers stay as they are, as when somebody sets a clock.
 * With WRONG_CLOCK_OF it is the clock of those processes only whose command line has that in it.
 *
 * Who waits until a time of the wall clock has worked it out from the wrong one: such a wait is corrected. A time of
 * the monotonic clock is known by being small: it counts from the start of the machine. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LONG_AFTER_ANY_START 1000000000

static const int64_t right = 0;
static const volatile int64_t *off = &right;
static int (*wait_cond)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*wait_sem)(sem_t *, const struct timespec *);

static int is_of_this_process(const char *of) {
  static char line[1 << 18]; /* Java's are long */
  int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t size = 0, more;
  while (size < (ssize_t)sizeof line - 1 && (more = read(file, line + size, sizeof line - 1 - size)) > 0) size += more;
  close(file);
  for (ssize_t at = 0; at < size; at++)
    if (!line[at]) line[at] = ' ';
  return strstr(line, of) != NULL;
}

__attribute__((constructor)) static void start(void) {
  wait_cond = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (!wait_cond) wait_cond = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  wait_sem = dlsym(RTLD_NEXT, "sem_timedwait");
  const char *path = getenv("WRONG_CLOCK"), *of = getenv("WRONG_CLOCK_OF");
  int file = path && (!of || is_of_this_process(of)) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *seconds = mmap(NULL, sizeof right, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (seconds != MAP_FAILED) off = seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *off;
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int failed = syscall(SYS_gettimeofday, now, zone);
  if (!failed) now->tv_sec += *off;
  return failed;
}

time_t time(time_t *seconds) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (seconds) *seconds = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
  return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

static struct timespec corrected(struct timespec until) {
  if (until.tv_sec > LONG_AFTER_ANY_START) until.tv_sec -= *off;
  return until;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  struct timespec right_time = corrected(*until);
  return wait_cond(cond, mutex, &right_time);
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until) {
  struct timespec right_time = corrected(*until);
  return wait_sem(sem, &right_time);
}
