/* Makes the writing of a store fail. Loaded into a host by LD_PRELOAD, in front of the C library.
 *
 * While the file that HERALD_FAULTS names exists, whatever would change or sync a file with `herald.db` in its name
 * fails, and nothing is written. What the file says is how: ENOSPC, EIO or EROFS; or `fsync`: then only syncing fails,
 * with EIO, and what was written may be there or not. All else goes to the kernel as it came.
 *
 * SQLite calls write, pwrite64, ftruncate64, fsync and fdatasync, depending on how it was compiled; the others are
 * here so that no way is left out. It maps `-shm` into memory, which is as on a full disk: it has its room already. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum purpose { CHANGE, SYNC };

/* The error that this call is to fail with; 0: none. Leaves errno alone. */
static int fault(int fd, enum purpose purpose) {
  const char *control = getenv("HERALD_FAULTS");
  int saved = errno, error = 0;
  char wanted[16] = "", link[32], name[4096];
  int file = control ? (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC) : -1;
  if (file >= 0) {
    ssize_t length = read(file, wanted, sizeof wanted - 1);
    wanted[length > 0 ? length : 0] = '\0';
    close(file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, name, sizeof name - 1);
    name[length > 0 ? length : 0] = '\0';
    if (strstr(name, "herald.db")) {
      if (!strcmp(wanted, "fsync")) error = purpose == SYNC ? EIO : 0;
      else if (!strcmp(wanted, "ENOSPC")) error = ENOSPC;
      else if (!strcmp(wanted, "EROFS")) error = EROFS;
      else error = EIO;
    }
  }
  errno = saved;
  return error;
}

#define CALL(purpose, fd, number, ...)                                                                                 \
  do {                                                                                                                 \
    int error = fault(fd, purpose);                                                                                    \
    if (error) return errno = error, -1;                                                                               \
    return syscall(number, fd, ##__VA_ARGS__);                                                                         \
  } while (0)

ssize_t write(int fd, const void *bytes, size_t length) { CALL(CHANGE, fd, SYS_write, bytes, length); }
ssize_t writev(int fd, const struct iovec *parts, int count) { CALL(CHANGE, fd, SYS_writev, parts, count); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { CALL(CHANGE, fd, SYS_pwrite64, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { CALL(CHANGE, fd, SYS_pwrite64, bytes, length, at); }
int ftruncate(int fd, off_t length) { CALL(CHANGE, fd, SYS_ftruncate, length); }
int ftruncate64(int fd, off64_t length) { CALL(CHANGE, fd, SYS_ftruncate, length); }
int fallocate(int fd, int mode, off_t at, off_t length) { CALL(CHANGE, fd, SYS_fallocate, mode, at, length); }
int fsync(int fd) { CALL(SYNC, fd, SYS_fsync); }
int fdatasync(int fd) { CALL(SYNC, fd, SYS_fdatasync); }
