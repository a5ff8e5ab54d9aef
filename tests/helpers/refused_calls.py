"""Processes in which the kernel, or the file system, refuses a system call.

As a program, ``python refused_calls.py NUMBER ERRNO PROGRAM ...`` runs another under a seccomp filter.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

LOAD, IS_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF: the word at an offset; jump if it is; end with
ERRNO, ALLOW = 0x00050000, 0x7FFF0000  # linux/seccomp.h
NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2  # linux/prctl.h
NUMBERS = {
    "flock": 73,
    "fsync": 74,
    "getrusage": 98,
    "pidfd_open": 434,
    "prlimit64": 302,
    "sched_getaffinity": 204,
    "setsid": 112,
    "unshare": 272,
}
# the text in C of a library to preload: NO_LOCKS_UNDER names a folder whose files nothing locks, and
# NO_LOCKS_ERRNO what it says
NO_LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int refused(int fd) { /* as the file system of one folder does, not that of others */
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    const char *folder = getenv("NO_LOCKS_UNDER");
    if (size < 0 || !folder || strncmp(path, folder, strlen(folder))) return 0;
    errno = atoi(getenv("NO_LOCKS_ERRNO"));
    return 1;
}
int flock(int fd, int operation) {
    if (refused(fd)) return -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, operation);
}
static int control(const char *name, int fd, int command, void *value) {
    if (command == F_SETLK || command == F_SETLKW || command == F_GETLK ||
        command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_OFD_GETLK)
        if (refused(fd)) return -1;
    return ((int (*)(int, int, void *))dlsym(RTLD_NEXT, name))(fd, command, value);
}
int fcntl(int fd, int command, ...) {
    va_list rest; va_start(rest, command);
    void *value = va_arg(rest, void *); va_end(rest);
    return control("fcntl", fd, command, value);
}
int fcntl64(int fd, int command, ...) {
    va_list rest; va_start(rest, command);
    void *value = va_arg(rest, void *); va_end(rest);
    return control("fcntl64", fd, command, value);
}
"""


def without(call: str, errno: int) -> list[str]:
    """Return the words before a command that run it without a system call."""
    return [sys.executable, __file__, str(NUMBERS[call]), str(errno)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse(errno: int, *numbers: int) -> None:
    """Make these system calls fail from now on, in this process and its children (x86-64)."""
    steps = [(LOAD, 0, 0, 0)]
    for number in numbers:
        steps += [(IS_EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | errno)]
    steps.append((RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


if __name__ == "__main__":
    try:
        refuse(int(sys.argv[2]), int(sys.argv[1]))
    except OSError:
        sys.exit(77)
    os.execvp(sys.argv[3], sys.argv[3:])
