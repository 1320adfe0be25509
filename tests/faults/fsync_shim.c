/* What a program makes durable, and in which order: preload this (LD_PRELOAD) and read $FSYNC_SHIM/events.
 *
 * One line for each call that succeeded, fields separated by tabs:
 *   fsync PATH COPY      a file's content is durable; COPY holds that content
 *   fsync-directory PATH the names in a directory are durable
 *   rename FROM TO       as asked for, not yet durable
 *   unlink PATH          likewise
 * With FSYNC_SHIM_FAIL=file or =directory in the environment, flushing such a thing fails with EIO instead.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM (3 * PATH_MAX)
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note(const char *what, const char *first, const char *second) {
    char line[ROOM], events[PATH_MAX];
    snprintf(events, sizeof events, "%s/events", getenv("FSYNC_SHIM"));
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", what, first, second);
    int fd = open(events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, length) != length)
        abort();
    close(fd);
}

/* Copy the file as it is now; a name of its own for each copy is put into copy[]. */
static void keep(const char *path, char *copy) {
    static int copies;
    char block[65536];
    ssize_t length;
    snprintf(copy, PATH_MAX, "%s/copy-%d", getenv("FSYNC_SHIM"), __atomic_add_fetch(&copies, 1, __ATOMIC_SEQ_CST));
    int from = open(path, O_RDONLY | O_CLOEXEC), to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    while ((length = read(from, block, sizeof block)) > 0)
        if (write(to, block, length) != length)
            abort();
    if (from < 0 || to < 0 || length < 0)
        abort();
    close(from);
    close(to);
}

static int flushed(int fd, int (*flush)(int)) {
    char link[64], path[PATH_MAX] = "", copy[PATH_MAX];
    struct stat it;
    const char *fail = getenv("FSYNC_SHIM_FAIL");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (fstat(fd, &it) || readlink(link, path, sizeof path - 1) < 0)
        abort();
    if (fail && !strcmp(fail, S_ISDIR(it.st_mode) ? "directory" : "file")) {
        errno = EIO;
        return -1;
    }
    int result = flush(fd);
    if (result == 0 && S_ISDIR(it.st_mode)) {
        note("fsync-directory", path, "");
    } else if (result == 0) {
        keep(path, copy);
        note("fsync", path, copy);
    }
    return result;
}

int fsync(int fd) { return flushed(fd, REAL(fsync)); }

int fdatasync(int fd) { return flushed(fd, REAL(fdatasync)); }

static int renamed(int result, const char *from, const char *to) {
    if (result == 0)
        note("rename", from, to);
    return result;
}

int rename(const char *from, const char *to) { return renamed(REAL(rename)(from, to), from, to); }

int renameat(int a, const char *from, int b, const char *to) {
    return renamed(REAL(renameat)(a, from, b, to), from, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    return renamed(REAL(renameat2)(a, from, b, to, flags), from, to);
}

int unlink(const char *path) {
    int result = REAL(unlink)(path);
    if (result == 0)
        note("unlink", path, "");
    return result;
}
