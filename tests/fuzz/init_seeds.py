"""Write lists of steps as `create` and `exec` compose them into a directory, for libFuzzer to begin with."""

import sys
from pathlib import Path

from pyrunc.kernel.syscalls import number
from pyrunc.stages.step_list import IF_REMEMBERED, REMEMBER, RETRY_EINTR, StepList
from pyrunc.stages.step_report import CHECK_CWD, END_BY, EXEC, FIND, HOOK, LISTEN, REPORT_TO, SPLIT, WRITE

ANSWERS = 64  # bytes before a list: init_steps.c


def lists() -> "dict[str, StepList]":
    """A list for each kind of step, and one with all."""
    made = {}
    for name in ("end-by", "find", "hook", "listener", "split", "working-directory", "write", "all"):
        steps = made[name] = StepList()
        steps.step(REPORT_TO, 0, (5,), "report to start")
        if name in ("write", "all"):
            label = (steps.string("thread-self/attr/exec"), steps.blob(bytes(24)), steps.blob(b"label"))
            steps.step(WRITE, 0, (7, *label, 5), "write the label")
        if name in ("split", "all"):
            steps.step(SPLIT, 0, (0x8000,), "clone the process in the container")
        if name in ("end-by", "all"):
            steps.step(END_BY, 0, (15,), "catch SIGTERM")
        if name in ("working-directory", "all"):
            cwd = steps.string("/tmp")
            steps.call("chdir", cwd, label="chdir", tolerated=(13, 1), flags=REMEMBER)
            steps.call("chdir", cwd, label="chdir", flags=IF_REMEMBERED)
            steps.step(CHECK_CWD, 0, (), "/tmp")
        if name in ("find", "all"):
            steps.step(FIND, 0, (steps.strings(["/usr/bin/a", "/bin/a", "a"]),), "a")
        if name in ("hook", "all"):
            args = (steps.string("/bin/hook"), steps.strings(["hook", "1"]), steps.strings(["A=b"]))
            steps.step(HOOK, -1, (*args, 6, -1, 1000), "startContainer hook #0")
            steps.step(HOOK, 8, (*args, 6, 9, 0), "startContainer hook #1")
        if name in ("listener", "all"):
            steps.call("write", 6, steps.blob(b"label"), 5, label="write", expect=5)
            filter_ = steps.pointer(bytes(8), steps.blob(bytes(16)))
            steps.step(LISTEN, number("seccomp"), (1, 8, filter_), "load the filter")
            steps.call("read", 6, steps.blob(b"\0"), 1, label="wait", expect=1, flags=RETRY_EINTR)
        steps.step(EXEC, 0, (steps.strings(["a", "b"]), steps.strings(["PATH=/bin", ""])), "exec a")
    return made


if __name__ == "__main__":
    for name, steps in lists().items():
        (Path(sys.argv[1]) / name).write_bytes(bytes(range(ANSWERS)) + steps.data())
