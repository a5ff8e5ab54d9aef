"""Filter system calls of this process and its children for good (seccomp).

A refused call answers with an error, as one that the kernel lacks would; nothing is ever killed. The
filter costs what is timed next to nothing: Linux 5.11 and later remember which calls always pass, and it
asks for no mitigation of processor faults, which would slow down all of the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterator, Sequence

SECCOMP, SET_FILTER = 317, 1  # the system call, and what it is asked for (linux/seccomp.h)
SPECULATION_ALLOWED = 1 << 2  # else kernels before 5.16 slow down the whole process
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, ANY_BIT, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06  # linux/filter.h
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
X86_64 = 0xC000003E
X32 = 0x40000000  # begins the numbers of another set of the same calls
NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
KIND = 0xF  # of a socket, without its flags
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # put text into a terminal
FAMILIES = (
    socket.AF_INET,
    socket.AF_INET6,
    socket.AF_NETLINK,
)  # of Unix and virtual machines: none

# What no stage needs, and what reaches other processes, the kernel or a way around the filter.
REFUSED = {
    "ptrace": 101,
    "syslog": 103,
    "personality": 135,
    "modify_ldt": 154,
    "pivot_root": 155,
    "adjtimex": 159,
    "chroot": 161,
    "acct": 163,
    "settimeofday": 164,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "sethostname": 170,
    "setdomainname": 171,
    "iopl": 172,
    "ioperm": 173,
    "init_module": 175,
    "delete_module": 176,
    "quotactl": 179,
    "lookup_dcookie": 212,
    "clock_settime": 227,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "clock_adjtime": 305,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "finit_module": 313,
    "kexec_file_load": 320,
    "bpf": 321,
    "userfaultfd": 323,
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "process_mrelease": 448,
    "open_tree_attr": 467,
}
ABSENT = {  # as on a kernel without them: who tries goes another way, which the filter sees
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "clone3": 435,
}
IGNORED = {"setpgid": 109, "setsid": 112}  # answer 0: what a worker starts stays in its group
ASKED = {"ioctl": 16, "socket": 41, "socketpair": 53, "clone": 56, "prlimit64": 302}

Step = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_calls(sockets: bool) -> str | None:
    """Filter this process's system calls from now on; return the reason if that failed.

    It has one thread, and gains no privileges (``PR_SET_NO_NEW_PRIVS``).

    Args:
        sockets: let it make sockets of the Internet's families; Unix sockets of a path never.
    """
    if platform.machine() != "x86_64":
        return f"not known for {platform.machine()}"
    steps = list(_steps(sockets))
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    program = ctypes.byref(_Program(len(steps), ctypes.addressof(code)))
    call = ctypes.CDLL(None, use_errno=True).syscall
    for flags in (SPECULATION_ALLOWED, 0):  # Linux 4.17, and before
        if call(SECCOMP, SET_FILTER, flags, program) == 0:
            return None
        if ctypes.get_errno() != errno.EINVAL:
            break
    return os.strerror(ctypes.get_errno())


def _steps(sockets: bool) -> Iterator[Step]:
    """Yield the filter as instructions of the kernel's packet filter."""
    yield LOAD, 0, 0, ARCHITECTURE
    yield EQUAL, 1, 0, X86_64
    yield RETURN, 0, 0, ERRNO | errno.ENOSYS  # 32-bit calls
    yield LOAD, 0, 0, NUMBER
    yield AT_LEAST, 0, 1, X32
    yield RETURN, 0, 0, ERRNO | errno.ENOSYS
    for number in IGNORED.values():
        yield from _answer(number, 0)
    for number in ABSENT.values():
        yield from _answer(number, errno.ENOSYS)
    for number in REFUSED.values():
        yield from _answer(number, errno.EPERM)
    yield from _only(ASKED["socket"], 0, FAMILIES if sockets else ())
    # two that are connected to each other cannot be connected elsewhere, but for datagrams
    yield from _none_of(ASKED["socketpair"], 1, (socket.SOCK_DGRAM,), KIND)
    yield from _none_of(ASKED["ioctl"], 1, (TIOCSTI, TIOCLINUX))
    yield from _only(ASKED["prlimit64"], 0, (0,))  # of itself
    yield EQUAL, 0, 4, ASKED["clone"]
    yield LOAD, 0, 0, ARGUMENTS
    yield ANY_BIT, 0, 1, NAMESPACES
    yield RETURN, 0, 0, ERRNO | errno.EPERM
    yield LOAD, 0, 0, NUMBER
    yield RETURN, 0, 0, ALLOW


def _answer(number: int, error: int) -> Iterator[Step]:
    yield EQUAL, 0, 1, number
    yield RETURN, 0, 0, ERRNO | error


def _only(number: int, argument: int, allowed: Sequence[int]) -> Iterator[Step]:
    """Refuse a call unless an argument has one of the allowed values."""
    yield EQUAL, 0, 2 + 2 * len(allowed), number
    yield LOAD, 0, 0, ARGUMENTS + 8 * argument
    for value in allowed:
        yield EQUAL, 0, 1, value
        yield RETURN, 0, 0, ALLOW
    yield RETURN, 0, 0, ERRNO | errno.EPERM


def _none_of(
    number: int, argument: int, refused: Sequence[int], mask: int = 0xFFFFFFFF
) -> Iterator[Step]:
    """Refuse a call if an argument has one of the refused values."""
    yield EQUAL, 0, 3 + 2 * len(refused), number
    yield LOAD, 0, 0, ARGUMENTS + 8 * argument
    yield AND, 0, 0, mask
    for value in refused:
        yield EQUAL, 0, 1, value
        yield RETURN, 0, 0, ERRNO | errno.EPERM
    yield RETURN, 0, 0, ALLOW
