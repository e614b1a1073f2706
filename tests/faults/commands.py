"""The commands that are struck, what must have been done before each, and whether it did its work."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.faults.kinds import Kind
from tests.runtime import Result
from tests.waiting import comes_true

PATIENCE = 30.0  # seconds until a fact counts as wrong
FILES = "output", "messages", "update"  # of a trial
UPDATE = {"unified": {"cgroup.max.descendants": "17"}}


class Trial:
    """One container: its kind, its id, the files of its output and of the command's messages."""

    def __init__(self, kind: Kind, container_id: str, directory: Path) -> None:
        """Name the files; nothing is made."""
        self.kind, self.id, self.runtime = kind, container_id, kind.runtime
        self.output, self.messages, self.resources = (directory / name for name in FILES)
        kind.output = self.output
        self.resources.write_text(json.dumps(UPDATE))

    def call(self, verb: str, strike: "tuple[str, ...]" = ()) -> Result:
        """A command of COMMANDS, or one that goes before it; what the container writes goes to `output`."""
        words, stays = COMMANDS[verb].words(self), verb != "run"
        bundle = self.kind.bundles["stays" if stays else "ends"]
        if "--bundle" in words:
            bundle.save(self.id)
        self.runtime.prefix = (*strike, *self.kind.as_user)
        try:
            with self.output.open("ab") as output, self.messages.open("w+b") as messages:
                result = self.runtime.call(*words, stdout=output, stderr=messages)
                messages.seek(0)
                text = messages.read().decode(errors="surrogateescape")
                return Result(result.args, result.returncode, self.output.read_text(errors="surrogateescape"), text)
        finally:
            self.runtime.prefix = self.kind.as_user

    def facts(self, text: str = "") -> str:
        """What the container's program said of itself, without what differs from container to container."""
        if not text:
            comes_true(lambda: "\ncomplete" in self.output.read_text(errors="replace"), PATIENCE)
            text = self.output.read_text(errors="replace")
        return "\n".join(filter(None, (_kept(line.rstrip(), self.id) for line in text.splitlines())))

    def status(self) -> str:
        """The status word, or what `state` said instead."""
        result = self.runtime.state(self.id)
        return str(json.loads(result.stdout)["status"]) if result.returncode == 0 else result.stderr


# Where mknod(2) is not permitted the host's node of the same device is bound; what it is like is looked at.
_NODES = frozenset(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "fuse"))
_STATUS = frozenset((
    "Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters", "CapInh", "CapPrm", "CapEff", "CapBnd",
    "CapAmb", "SigIgn", "SigBlk",
))  # fmt: skip


def _kept(line: str, container_id: str) -> str:
    """A line of LOOK's output, "" for one that may differ."""
    key, colon, _ = line.partition(":\t")
    if colon:
        return line if key in _STATUS else ""
    words = line.replace(container_id, "ID").split(" ")
    if " - " in line and len(words) > 8:  # mountinfo: ids and device numbers are new each time
        if words[4] in _NODES:
            return ""
        return " ".join([words[3], words[4], words[5], *words[words.index("-") :]])
    return "" if line.startswith("Max pending signals") else " ".join(words)


def _as_before(trial: Trial, result: Result, baseline: str) -> str:
    """Of a command whose output is all that it does."""
    return difference(trial.facts(result.stdout), baseline)


class Command:
    """words: of the command line. before: what must have been done. done: what is wrong after it succeeded, or ""."""

    def __init__(
        self,
        words: "Callable[[Trial], list[str]]",
        before: str = "",
        done: "Callable[[Trial, Result, str], str]" = _as_before,
    ) -> None:
        """Take them down; `before` is a list of names of COMMANDS."""
        self.words, self.before, self.done = words, before.split(), done


def _same_after_start(trial: Trial, result: Result, baseline: str) -> str:
    started = trial.call("start")
    if started.returncode:
        return f"start: {started.stderr}"
    return _same(trial, result, baseline)


def _same(trial: Trial, result: Result, baseline: str) -> str:
    return difference(trial.facts(), baseline)


def difference(text: str, baseline: str) -> str:
    """Some lines that differ, or ""."""
    if not baseline or text == baseline:
        return ""
    ours, theirs = text.splitlines(), baseline.splitlines()
    gone, new = ([line for line in a if line not in b][:3] for a, b in ((theirs, ours), (ours, theirs)))
    return f"{gone} became {new}"


def _becomes(wanted: str) -> "Callable[[Trial, Result, str], str]":
    def check(trial: Trial, result: Result, baseline: str) -> str:
        return "" if comes_true(lambda: trial.status() == wanted, PATIENCE) else f"status {trial.status()}"

    return check


def _gone(trial: Trial, result: Result, baseline: str) -> str:
    return "" if "does not exist" in trial.status() else "the container is still there"


def _create(trial: Trial, *words: str) -> "list[str]":
    pid_file = trial.output.with_name("pid")
    options = ["--pid-file", str(pid_file)] if not trial.kind.as_user else []
    if words[0] != "restore":
        trial.kind.prepare()
    return [words[0], "--bundle", str(trial.kind.bundles["ends" if words[0] == "run" else "stays"].path), *options,
            *(trial.kind.options if words[0] == "create" else ()), trial.id]  # fmt: skip


def _images(trial: Trial) -> "list[str]":
    return ["--image-path", str(trial.kind.images), "--work-path", str(trial.kind.images)]


LOOK_AGAIN = "cat /proc/self/limits; id; umask; ls /proc/self/fd; echo; echo complete; exit 7"

COMMANDS = {
    "create": Command(lambda trial: _create(trial, "create"), "", _same_after_start),
    "run": Command(lambda trial: _create(trial, "run"), "", _same),
    "start": Command(lambda trial: ["start", trial.id], "create", _same),
    "exec": Command(lambda trial: ["exec", trial.id, "sh", "-c", LOOK_AGAIN], "create start"),
    "kill": Command(lambda trial: ["kill", trial.id, "KILL"], "create start", _becomes("stopped")),
    "pause": Command(lambda trial: ["pause", trial.id], "create start", _becomes("paused")),
    "resume": Command(lambda trial: ["resume", trial.id], "create start pause", _becomes("running")),
    "update": Command(lambda trial: ["update", "--resources", str(trial.resources), trial.id], "create start"),
    "delete": Command(lambda trial: ["delete", trial.id], "create", _gone),
    "delete-force": Command(lambda trial: ["delete", "--force", trial.id], "create start", _gone),
    "state": Command(lambda trial: ["state", trial.id], "create"),
    "list": Command(lambda trial: ["list"], "create"),
    "checkpoint": Command(lambda trial: ["checkpoint", *_images(trial), trial.id], "create start", _gone),
    "restore": Command(
        lambda trial: [*_create(trial, "restore"), "--detach", *_images(trial)],
        "create start checkpoint",
        _becomes("running"),
    ),
}
