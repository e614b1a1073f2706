"""Watching the processes that a command makes: each that is in a container is stopped where it enters its first system
call there, where pyrunc-init is about to look up a path, and where a program is about to be executed, and described as
the kernel knows it.

By ptrace(2), from a process of its own, since a tracer has to wait for its tracees and would take the test's children.
Only for x86_64: system calls are told, and made in a tracee's name, by its registers.
"""

import contextlib
import ctypes
import json
import os
import platform
import signal
import stat
import struct
from typing import Any

from tests.kernelcalls import filesystem_magic

POSSIBLE = platform.machine() == "x86_64"
WHY_NOT = "system calls are told by the registers of x86_64"
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
PROC_SUPER_MAGIC = 0x9FA0

_CALLS = {59: "execve", 322: "execveat", 80: "chdir", 332: "statx", 439: "faccessat2"}
_EXECVES = ("execve", "execveat")
_PRCTL, _KEYCTL, _PR_GET_DUMPABLE = 157, 250, 3
_KEYCTL_GET_KEYRING_ID, _SESSION_KEYRING = 0, -3
_TRACEME, _SETOPTIONS, _GETREGS, _SETREGS, _SYSCALL, _DETACH = 0, 0x4200, 12, 13, 24, 17
_OPTIONS = 1 | 2 | 4 | 8 | 16  # TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC
_WALL, _SYSCALL_STOP, _EVENT_EXEC = 0x40000000, signal.SIGTRAP | 0x80, 4
_RAX, _RDX, _RSI, _RDI, _ORIG_RAX, _RIP = 10, 12, 13, 14, 15, 16  # in struct user_regs_struct
_libc = ctypes.CDLL(None, use_errno=True)
_Registers = ctypes.c_ulonglong * 27


def watch(command: "list[str]", stderr: int, caller: "dict[str, Any]") -> "tuple[int, list[dict[str, Any]]]":
    """The exit status of a command (negative: a signal), and what each process was at each stop. One that has become
    another program than pyrunc-init, in the container, is watched no more.

    stderr: a descriptor for the command's, the other streams are /dev/null; caller: options of Popen that say who calls
    """
    reading, writing = os.pipe()
    tracer = os.fork()
    if tracer == 0:
        os.close(reading)
        status = 255
        try:
            status = _Tracer(writing).run(command, stderr, caller)
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        stops = [json.loads(line) for line in pipe]
    os.waitpid(tracer, 0)
    status = stops.pop()["status"]
    return status, stops


class _Tracer:
    def __init__(self, report: int) -> None:
        self.report, self.entered, self.seen, self.status = report, set[int](), set[int](), 255
        self.host = namespaces("self")

    def run(self, command: "list[str]", stderr: int, caller: "dict[str, Any]") -> int:
        first = os.fork()
        if first == 0:
            null = os.open("/dev/null", os.O_RDWR)
            for number, fd in enumerate((null, null, stderr)):
                os.dup2(fd, number)
            os.closerange(3, 256)
            if "user" in caller:
                os.setgroups([])
                os.setresgid(*[caller["group"]] * 3)
                os.setresuid(*[caller["user"]] * 3)
            _ptrace(_TRACEME)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execve(command[0], command, caller.get("env", os.environ))
        os.waitpid(first, 0)
        _ptrace(_SETOPTIONS, first, _OPTIONS)
        _ptrace(_SYSCALL, first)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, _WALL)
                if os.WIFSTOPPED(status):
                    with contextlib.suppress(ProcessLookupError):
                        self._stopped(pid, status >> 8)
                elif pid == first:
                    self.status = os.waitstatus_to_exitcode(status)
        self._tell({"status": self.status})
        return 0

    def _stopped(self, pid: int, how: int) -> None:
        passed = 0
        if how == _SYSCALL_STOP:
            if pid not in self.entered:
                self.entered.add(pid)
                self._enters(pid)
            else:
                self.entered.discard(pid)
        elif how >> 8 == 0 and how not in (signal.SIGSTOP, signal.SIGTRAP):
            passed = how  # a signal of its own
        elif how >> 8 == _EVENT_EXEC and "pyrunc-init" not in _link(pid, "exe") and self._inside(pid):
            self.entered.discard(pid)
            _ptrace(_DETACH, pid)
            return
        _ptrace(_SYSCALL, pid, passed)

    def _inside(self, pid: int) -> bool:
        """Whether it has left our namespaces, or our root."""
        return namespaces(pid) != self.host or os.stat(f"/proc/{pid}/root").st_ino != os.stat("/").st_ino

    def _enters(self, pid: int) -> None:
        registers = _registers(pid)
        name = _CALLS.get(registers[_ORIG_RAX], "")
        if pid not in self.seen and os.readlink(f"/proc/{pid}/ns/pid") != self.host["pid"]:
            self.seen.add(pid)
            self._tell({"call": "first", "path": "", "pid": pid, **_facts(pid)})
        if not name or not self._inside(pid):
            return
        if name not in _EXECVES and "pyrunc-init" not in _link(pid, "exe"):
            return
        path = _string(pid, registers[_RSI if name in ("execveat", "statx", "faccessat2") else _RDI])
        facts = {"call": name, "path": path, "pid": pid, **_facts(pid)}
        if name in _EXECVES:
            facts["dumpable"] = self._injected(pid, _PRCTL, _PR_GET_DUMPABLE, 0, 0)
            facts["keyring"] = self._injected(pid, _KEYCTL, _KEYCTL_GET_KEYRING_ID, _SESSION_KEYRING, 0)
        self._tell(facts)

    def _injected(self, pid: int, number: int, *arguments: int) -> int:
        """Let a process that has entered a system call make another one, and come back."""
        before = _registers(pid)
        changed = _Registers(*before)
        changed[_ORIG_RAX] = number
        for register, argument in zip((_RDI, _RSI, _RDX), arguments, strict=True):
            changed[register] = argument & (1 << 64) - 1
        _set_registers(pid, changed)
        self._on_to_stop(pid)
        result = ctypes.c_longlong(_registers(pid)[_RAX]).value
        before[_RAX], before[_RIP] = before[_ORIG_RAX], before[_RIP] - 2  # the instruction `syscall` once more
        _set_registers(pid, before)
        self._on_to_stop(pid)
        return result

    def _on_to_stop(self, pid: int) -> None:
        _ptrace(_SYSCALL, pid)
        _, status = os.waitpid(pid, _WALL)
        if not os.WIFSTOPPED(status):
            raise ProcessLookupError(3, "it was killed")

    def _tell(self, facts: "dict[str, Any]") -> None:
        os.write(self.report, json.dumps(facts).encode() + b"\n")


def _facts(pid: int) -> "dict[str, Any]":
    status = dict(line.split(":\t", 1) for line in _read(pid, "status").splitlines() if ":\t" in line)
    ids = {key: [int(word) for word in status[key].split()] for key in ("Uid", "Gid", "Groups")}
    masks = {key: int(status[key], 16) for key in status if key.startswith("Cap") or key in ("SigBlk", "SigIgn")}
    numbers = {key: int(status[key]) for key in ("NoNewPrivs", "Seccomp", "PPid", "Threads")}
    root, cwd = os.stat(f"/proc/{pid}/root"), os.stat(f"/proc/{pid}/cwd")
    return {
        "exe": _link(pid, "exe"),
        "umask": int(status["Umask"], 8),
        "pid there": int(status["NSpid"].split()[-1]),
        "levels": len(status["NSpid"].split()),
        "namespaces": namespaces(pid),
        "descriptors": _descriptors(pid),
        "root": [root.st_dev, root.st_ino],
        "cwd": [cwd.st_dev, cwd.st_ino],
        "cwd path": _link(pid, "cwd"),
        **ids,
        **masks,
        **numbers,
    }


def _descriptors(pid: int) -> "list[dict[str, Any]]":
    found = []
    for number in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
        path = f"/proc/{pid}/fd/{number}"
        kept = int(next(line.split()[1] for line in _read(pid, f"fdinfo/{number}").splitlines() if "flags" in line), 8)
        mode = os.stat(path).st_mode
        found.append({
            "number": number,
            "target": os.readlink(path),
            "directory": stat.S_ISDIR(mode),
            "fifo": stat.S_ISFIFO(mode),
            "close-on-exec": bool(kept & os.O_CLOEXEC),
            "procfs": not stat.S_ISSOCK(mode) and filesystem_magic(path) == PROC_SUPER_MAGIC,
        })  # fmt: skip
    return found


def namespaces(pid: "int | str") -> "dict[str, str]":
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES}


def _link(pid: int, name: str) -> str:
    return os.readlink(f"/proc/{pid}/{name}")


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def _string(pid: int, address: int) -> str:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        piece = b""
        with contextlib.suppress(OSError):  # the page after it may be missing
            piece = memory.read(4096 - address % 4096)
            if b"\0" not in piece:
                piece += memory.read(4096)
    return piece.partition(b"\0")[0].decode("utf-8", "replace")


def session_keyring() -> int:
    """The serial number of our own."""
    return int(_libc.syscall(_KEYCTL, _KEYCTL_GET_KEYRING_ID, ctypes.c_long(_SESSION_KEYRING), 0))


def _registers(pid: int) -> "ctypes.Array[ctypes.c_ulonglong]":
    registers = _Registers()
    _ptrace(_GETREGS, pid, 0, ctypes.addressof(registers))
    return registers


def _set_registers(pid: int, registers: "ctypes.Array[ctypes.c_ulonglong]") -> None:
    _ptrace(_SETREGS, pid, 0, ctypes.addressof(registers))


def _ptrace(request: int, pid: int = 0, data: int = 0, address: int = 0) -> None:
    # GETREGS and SETREGS take the place of the registers as `data`, ptrace(2).
    ctypes.set_errno(0)
    result = _libc.ptrace(request, pid, ctypes.c_void_p(0), ctypes.c_void_p(address or data))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request} of {pid}")


assert struct.calcsize("P") == 8
