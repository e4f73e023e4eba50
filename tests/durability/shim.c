/*
 * Stands between a program and its C library, and writes down in one order what the program does to its files: writes,
 * syncs, names that are made and names that go. It can also answer as a file system does that has turned read-only. For
 * tests alone; tests/durability/shim.rs compiles it and says how it is loaded.
 *
 * SHIM_LOG        the log. A line: event, thread, file (device:inode), folder of the name (device:inode), offset, rest.
 *                   W  bytes were written, or the length was changed         (rest: path)
 *                   s  a sync begins, S  it has succeeded                    (rest: path)
 *                   C  a file or folder was made, with this name             (rest: path)
 *                   N  a name was made for one that is there: link, rename   (rest: path)
 *                   U  a name is about to go                                 (rest: path)
 *                   T  a line that the program wrote into its own trace      (rest: that line)
 * SLUICEGATE_TRACE the program's own trace, which the program knows too.
 * SHIM_FOLDER     the folder that may be read-only.
 * SHIM_SWITCH     while there is such a file, it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name)                                                    \
    static __typeof__(&name) real;                                    \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int log_fd = -1;
static const char *trace, *folder, *turned;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_LOG");
    trace = getenv("SLUICEGATE_TRACE");
    folder = getenv("SHIM_FOLDER");
    turned = getenv("SHIM_SWITCH");
    if (path) {
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (log_fd < 0) abort();
    }
}

/* One write a line, so that lines of several threads never mix. */
static void line(char event, const struct stat *file, const struct stat *parent, long long offset, const char *rest,
                 size_t length) {
    static const struct stat none;
    char text[2 * PATH_MAX];
    int saved = errno;
    if (!file) file = &none;
    if (!parent) parent = &none;
    int head = snprintf(text, sizeof text, "%c\t%ld\t%llu:%llu\t%llu:%llu\t%lld\t", event, syscall(SYS_gettid),
                        (unsigned long long)file->st_dev, (unsigned long long)file->st_ino,
                        (unsigned long long)parent->st_dev, (unsigned long long)parent->st_ino, offset);
    if (length > sizeof text - (size_t)head - 1) length = sizeof text - (size_t)head - 1;
    memcpy(text + head, rest, length);
    text[(size_t)head + length] = '\n';
    size_t whole = (size_t)head + length + 1;
    /* A log with holes proves nothing. */
    if (syscall(SYS_write, log_fd, text, whole) != (long)whole) abort();
    errno = saved;
}

/* The path of an open regular file or folder; 0 for whatever else there is. */
static int path_of(int fd, struct stat *file, char path[PATH_MAX]) {
    char link[64];
    int saved = errno, found = 0;
    if (fstat(fd, file) == 0 && (S_ISREG(file->st_mode) || S_ISDIR(file->st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, PATH_MAX - 1);
        if (length > 0) {
            path[length] = 0;
            found = 1;
        }
    }
    errno = saved;
    return found;
}

static void absolute(int at, const char *name, char path[PATH_MAX]) {
    char base[PATH_MAX] = "", link[64];
    if (name[0] != '/') {
        if (at == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) abort();
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0) length = 0;
            base[length] = 0;
        }
        strncat(base, "/", sizeof base - strlen(base) - 1);
    }
    if (snprintf(path, PATH_MAX, "%s%s", base, name) >= PATH_MAX) abort();
}

/* A name was made, or is about to go. */
static void named(char event, int at, const char *name) {
    if (log_fd < 0) return;
    char path[PATH_MAX], above[PATH_MAX];
    struct stat file = {0}, parent = {0};
    int saved = errno;
    absolute(at, name, path);
    strcpy(above, path);
    char *slash = strrchr(above, '/');
    if (slash) *slash = 0;
    lstat(path, &file);
    stat(above[0] ? above : "/", &parent);
    line(event, &file, &parent, (long long)file.st_nlink, path, strlen(path));
    errno = saved;
}

static int below_read_only(const char *path) {
    if (!folder || !turned) return 0;
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length] != 0)) return 0;
    int saved = errno, there = access(turned, F_OK) == 0;
    errno = saved;
    return there;
}

static int refused_fd(int fd) {
    struct stat file;
    char path[PATH_MAX];
    if (!folder || !path_of(fd, &file, path) || !below_read_only(path)) return 0;
    errno = EROFS;
    return 1;
}

static int refused_name(int at, const char *name) {
    char path[PATH_MAX];
    if (!folder) return 0;
    absolute(at, name, path);
    if (!below_read_only(path)) return 0;
    errno = EROFS;
    return 1;
}

static long long position(int fd) {
    int saved = errno;
    long long offset = lseek(fd, 0, SEEK_CUR);
    errno = saved;
    return offset;
}

static void wrote(int fd, long long offset, const char *bytes, size_t count) {
    struct stat file;
    char path[PATH_MAX];
    if (log_fd < 0 || !path_of(fd, &file, path)) return;
    if (trace && bytes && strcmp(path, trace) == 0) {
        while (count > 0 && bytes[count - 1] == '\n') count--;
        line('T', &file, 0, 0, bytes, count);
    } else {
        line('W', &file, 0, offset, path, strlen(path));
    }
}

static void syncs(char event, int fd) {
    struct stat file;
    char path[PATH_MAX];
    if (log_fd >= 0 && path_of(fd, &file, path)) line(event, &file, 0, 0, path, strlen(path));
}

#define WRITES(type, name, parameters, arguments, offset, bytes)      \
    type name parameters {                                            \
        REAL(name);                                                   \
        if (refused_fd(fd)) return -1;                                \
        long long at = offset;                                        \
        type done = real arguments;                                   \
        if (done >= 0) wrote(fd, at, bytes, (size_t)done);            \
        return done;                                                  \
    }

WRITES(ssize_t, write, (int fd, const void *text, size_t count), (fd, text, count), position(fd), text)
WRITES(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count), position(fd), 0)
WRITES(ssize_t, pwrite, (int fd, const void *text, size_t count, off_t to), (fd, text, count, to), to, 0)
WRITES(ssize_t, pwrite64, (int fd, const void *text, size_t count, off64_t to), (fd, text, count, to), to, 0)
WRITES(ssize_t, pwritev, (int fd, const struct iovec *parts, int count, off_t to), (fd, parts, count, to), to, 0)
WRITES(ssize_t, pwritev64, (int fd, const struct iovec *parts, int count, off64_t to), (fd, parts, count, to), to, 0)
WRITES(int, ftruncate, (int fd, off_t length), (fd, length), -1, 0)
WRITES(int, ftruncate64, (int fd, off64_t length), (fd, length), -1, 0)
WRITES(int, fallocate, (int fd, int mode, off_t from, off_t length), (fd, mode, from, length), -1, 0)
WRITES(int, fallocate64, (int fd, int mode, off64_t from, off64_t length), (fd, mode, from, length), -1, 0)
WRITES(ssize_t, sendfile, (int fd, int in, off_t *from, size_t count), (fd, in, from, count), position(fd), 0)
WRITES(ssize_t, sendfile64, (int fd, int in, off64_t *from, size_t count), (fd, in, from, count), position(fd), 0)

ssize_t copy_file_range(int in, off64_t *from, int fd, off64_t *to, size_t count, unsigned flags) {
    REAL(copy_file_range);
    if (refused_fd(fd)) return -1;
    long long at = to ? *to : position(fd);
    ssize_t done = real(in, from, fd, to, count, flags);
    if (done > 0) wrote(fd, at, 0, 0);
    return done;
}

#define SYNCS(name)                                                   \
    int name(int fd) {                                                \
        REAL(name);                                                   \
        syncs('s', fd);                                               \
        int done = real(fd);                                          \
        if (done == 0) syncs('S', fd);                                \
        return done;                                                  \
    }

SYNCS(fsync)
SYNCS(fdatasync)

static int opened(int at, const char *name, int flags, mode_t mode, int (*real)(int, const char *, int, ...)) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    if (writes && refused_name(at, name)) return -1;
    int saved = errno;
    int is_new = (flags & O_CREAT) && faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    errno = saved;
    int fd = real(at, name, flags, mode);
    if (fd >= 0 && is_new) named('C', at, name);
    return fd;
}

#define MODE                                                          \
    mode_t mode = 0;                                                  \
    if (flags & (O_CREAT | __O_TMPFILE)) {                            \
        va_list more;                                                 \
        va_start(more, flags);                                        \
        mode = va_arg(more, mode_t);                                  \
        va_end(more);                                                 \
    }

int open(const char *name, int flags, ...) {
    REAL(openat);
    MODE;
    return opened(AT_FDCWD, name, flags, mode, real);
}

int open64(const char *name, int flags, ...) {
    REAL(openat64);
    MODE;
    return opened(AT_FDCWD, name, flags, mode, real);
}

int openat(int at, const char *name, int flags, ...) {
    REAL(openat);
    MODE;
    return opened(at, name, flags, mode, real);
}

int openat64(int at, const char *name, int flags, ...) {
    REAL(openat64);
    MODE;
    return opened(at, name, flags, mode, real);
}

/* `at` and `to` are where the new name is made. */
#define NAMES(event, name, parameters, arguments, at, to)             \
    int name parameters {                                             \
        REAL(name);                                                   \
        if (refused_name(at, to)) return -1;                          \
        int done = real arguments;                                    \
        if (done == 0) named(event, at, to);                          \
        return done;                                                  \
    }

NAMES('C', mkdir, (const char *to, mode_t mode), (to, mode), AT_FDCWD, to)
NAMES('C', mkdirat, (int at, const char *to, mode_t mode), (at, to, mode), at, to)
NAMES('N', link, (const char *from, const char *to), (from, to), AT_FDCWD, to)
NAMES('N', linkat, (int from_at, const char *from, int at, const char *to, int flags),
      (from_at, from, at, to, flags), at, to)
NAMES('N', rename, (const char *from, const char *to), (from, to), AT_FDCWD, to)
NAMES('N', renameat, (int from_at, const char *from, int at, const char *to),
      (from_at, from, at, to), at, to)
NAMES('N', renameat2, (int from_at, const char *from, int at, const char *to, unsigned flags),
      (from_at, from, at, to, flags), at, to)

int unlink(const char *name) {
    REAL(unlink);
    if (refused_name(AT_FDCWD, name)) return -1;
    named('U', AT_FDCWD, name);
    return real(name);
}

int unlinkat(int at, const char *name, int flags) {
    REAL(unlinkat);
    if (refused_name(at, name)) return -1;
    named('U', at, name);
    return real(at, name, flags);
}
