"""System calls: their numbers, what can plausibly go wrong with each, and the program that makes it go wrong."""

import re
import signal
import subprocess
from errno import EACCES, EAGAIN, EINTR, EIO, EMFILE, ENOLCK, ENOMEM, ENOSPC, EPERM
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SECONDS = 45  # for a command that is watched; none needs a second, where nobody else works
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

FAKE_CRIU = "/run/fake-criu/criu"
# Of hooks, of the container and of the host: what they do, and their children, is not ours.
PROGRAMS = ("/bin/sh", "/usr/bin/newuidmap", "/usr/bin/newgidmap", FAKE_CRIU)
# That these fail is not plausible, or no program could do anything about it. (A file whose close fails is closed; that
# of a file that we have written, on a network's file system, is too rare to be told from the others.)
_NEVER = frozenset((
    "arch_prctl", "brk", "close", "exit", "exit_group", "fcntl", "futex", "getegid", "geteuid", "getgid", "getpid",
    "getppid", "getrandom", "gettid", "getuid", "lseek", "munmap", "rseq", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sched_yield", "set_robust_list", "set_tid_address", "sigaltstack", "umask",
))  # fmt: skip
_ERRORS = {
    "open openat openat2 open_tree": (EMFILE, ENOMEM, EIO, EACCES),
    "read pread64 getdents64 fstat": (EIO,),
    "write pwrite64": (EIO, ENOSPC, EINTR),
    "newfstatat stat lstat statx readlink readlinkat access faccessat faccessat2": (EIO, EACCES, ENOMEM),
    "mkdir mkdirat mknod mknodat rename renameat symlinkat unlink unlinkat rmdir": (EIO, EACCES, ENOSPC),
    "mmap mprotect mremap": (ENOMEM,),
    "fork vfork clone clone3": (EAGAIN, ENOMEM, EPERM),
    "execve execveat": (EIO, ENOMEM, EACCES),
    "socket socketpair pipe2 memfd_create pidfd_open dup3": (EMFILE, ENOMEM),
    "sendto sendmsg recvfrom recvmsg": (EINTR, ENOMEM),
    "flock": (EINTR, ENOLCK, EIO),
    "wait4 waitid poll": (EINTR,),
    "fsopen fsconfig fsmount move_mount mount_setattr mount umount2": (EPERM, ENOMEM, EIO),
}
_OF_A_CALL = {name: errors for names, errors in _ERRORS.items() for name in names.split()}


class Call(NamedTuple):
    """A system call of a watched command: process and number as strike.c counts them, its name and path."""

    process: int
    number: int
    name: str
    path: str

    @property
    def faults(self) -> "list[str]":
        """What can strike it, as strike.c takes it."""
        if self.name in _NEVER:
            return [f"signal={number:d}" for number in SIGNALS]
        errors = _OF_A_CALL.get(self.name, (EPERM, ENOMEM))
        if self.name == "newfstatat" and not self.path:  # fstat(3)
            errors = (EIO,)
        if self.process:  # they catch no signals, or are to end by them
            errors = tuple(error for error in errors if error != EINTR)
        return [f"signal={number:d}" for number in SIGNALS] + [f"error={number}" for number in errors]


def _line_of(process: int, parents: "dict[int, int]") -> "list[int]":
    """A process and its ancestors."""
    line = [process]
    while line[-1] in parents:
        line.append(parents[line[-1]])
    return line


def names() -> "dict[int, str]":
    """Number and name of the system calls, as the C library's headers have them."""
    words = ["cc", "-dM", "-E", "-include", "sys/syscall.h", "-x", "c", "/dev/null"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}


class Striker:
    """strike.c, built in a directory, and its log there."""

    def __init__(self, directory: Path) -> None:
        """Build it."""
        self.program, self.log, self._names = directory / "strike", directory / "strike.log", names()
        flags = ["-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"]
        subprocess.run(["cc", *flags, "-o", self.program, HERE / "strike.c"], check=True)

    def words(self, process: int, number: int, what: str) -> "list[str]":
        """The words before a command that is to be struck, or listed."""
        return [str(self.program), str(self.log), str(process), str(number), what, str(SECONDS)]

    def calls(self) -> "list[Call]":
        """What the log says: of a list all calls that are the runtime's, else the one that was struck, if it came."""
        found, foreign = [], set()
        lines = [line.split(" ") for line in self.log.read_text().splitlines()]
        # A child may be seen before its parent is seen to have made it.
        parents = {int(words[1]): int(words[2]) for words in lines if words[0] == "child"}
        for words in lines:
            if words[0].isdecimal() and not foreign & set(_line_of(int(words[0]), parents)):
                call = Call(int(words[0]), int(words[1]), self._names.get(int(words[2]), words[2]), words[3])
                found.append(call)
                if call.name == "execve" and call.path in PROGRAMS:
                    foreign.add(call.process)
        return found

    def hung(self) -> bool:
        """Whether the command had to be killed."""
        return self.log.read_text().endswith("hang\n")
