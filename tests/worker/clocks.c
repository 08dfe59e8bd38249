/* Stands between a program and the system's clocks: adds to two of them what a file says, so that a test can set the clock on
   the wall, and let a machine sleep. Preloaded; the file is named by CLOCKS and holds two numbers of seconds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct added {
    long long wall;
    long long asleep;
};

static const volatile struct added *added;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCKS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *seen = mmap(NULL, sizeof *added, PROT_READ, MAP_SHARED, file, 0);
    if (seen != MAP_FAILED)
        added = seen;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int told = (int)syscall(SYS_clock_gettime, clock, time);
    if (told == 0 && added && clock == CLOCK_REALTIME)
        time->tv_sec += added->wall;
    if (told == 0 && added && clock == CLOCK_BOOTTIME)
        time->tv_sec += added->asleep;
    return told;
}
