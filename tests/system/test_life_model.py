"""Random commands on a few containers, by several processes at once, some of them killed, against a model.

`--rounds N` tries N examples of eight steps each (by default 10, the same ones every time); more are chosen at random.
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests import lifemodel as model
from tests.bundle import Bundle
from tests.leftovers import reap
from tests.peers import PEERS
from tests.runtime import COMMAND_DEADLINE, Runtime, error_text, new_id, runtime_name
from tests.waiting import comes_true

_USUAL = 10  # examples
_STEPS = 8
_PATIENCE = 5.0  # seconds, for a program that may be in a paused container
# What the peers take in another way: crun 1.8.1 resumes what is not paused. Besides they lock nothing, so that theirs
# are not tried at once on one container; and what a killed one leaves they do not know (see test_killed_create).
DIFFERENCES: dict[str, model.Table] = {
    "crun": {"resume": {**model.TABLE["resume"], model.CREATED: model.CREATED, model.RUNNING: model.RUNNING}},
}


class Call(NamedTuple):
    """A command on the container of this number; seconds until SIGKILL, if any."""

    name: str
    number: int
    life: float | None


# What brings a container on comes more often than what ends it, and one in four gets SIGKILL.
_NAMES = ["create", "start"] * 3 + ["exec", "pause", "resume"] * 2 + ["kill", "delete", "delete --force"]
CALLS = st.builds(
    Call,
    st.sampled_from(_NAMES),
    st.integers(0, 1),
    st.sampled_from([None] * 9 + [0.05, 0.1, 0.2]),
)


class Lives(RuleBasedStateMachine):
    """The containers, and in which states each of them may be."""

    def __init__(self, runtime: Runtime, bundles: dict[str, Bundle], counts: Counter[str], failures: list[str]) -> None:
        """Nothing is there. counts, failures: how commands ended, and what was wrong, of all examples."""
        super().__init__()
        self.runtime, self.bundles, self.ids, self.counts = runtime, bundles, list(bundles), counts
        self.failures = failures
        self.states = {container_id: {model.NONE} for container_id in bundles}
        self.table = model.TABLE | DIFFERENCES.get(runtime_name(), {})
        self.said: list[str] = []

    @rule(calls=st.lists(CALLS, min_size=2, max_size=4))
    def together(self, calls: list[Call]) -> None:
        """Commands at the same time, and then a look."""
        try:
            self._together(calls)
        except AssertionError as error:
            self.failures.append(f"{error}; before: {self.said}")
            raise

    def _together(self, calls: list[Call]) -> None:
        if runtime_name() in PEERS:
            calls = [call._replace(life=None) for call in {call.number: call for call in calls}.values()]
        begun = [(call, self._begin(call)) for call in calls]
        for call, process in begun:
            if call.life is not None:
                time.sleep(call.life)
                process.kill()
        ended: dict[str, list[model.Command]] = {container_id: [] for container_id in self.ids}
        for call, process in sorted(begun, key=lambda one: one[0].name == "exec"):
            ended[self.ids[call.number]] += self._end(call, process)
        for container_id, commands in ended.items():
            self._narrow(container_id, commands)

    def _begin(self, call: Call) -> "subprocess.Popen[bytes]":
        container_id = self.ids[call.number]
        words: list[str] = [*call.name.split(), container_id]
        if call.name == "create":
            words[1:1] = ["--bundle", str(self.bundles[container_id].path)]
        words += {"exec": ["true"], "kill": ["KILL"]}.get(call.name, [])
        return self.runtime.popen(*words, stderr=subprocess.PIPE)

    def _end(self, call: Call, process: "subprocess.Popen[bytes]") -> list[model.Command]:
        """Wait for it; how it ended, and what had to be done for that."""
        more = []
        try:
            code = process.wait(_PATIENCE if call.name == "exec" else COMMAND_DEADLINE)
        except subprocess.TimeoutExpired:
            assert call.name == "exec", f"{call.name} hangs"
            # `pause` came when it was in the container already, and it waits with it.
            resumed = self.runtime.call("resume", self.ids[call.number])
            assert resumed.returncode == 0, "exec hangs in a container that is not paused"
            more.append(model.Command("resume", model.DONE))
            code = process.wait(COMMAND_DEADLINE)
        assert process.stderr is not None
        with process.stderr as stream:  # a container holds it, too, if the command was `create` and has succeeded
            message = stream.read().decode(errors="replace") if code > 0 else ""
        end = model.KILLED if code < 0 else model.REFUSED if code else model.DONE
        self.said.append(f"{call.name} {call.number} (life {call.life}): {code} {message.strip()}")
        self.counts[f"{call.name} {end}"] += 1
        if end == model.REFUSED and not (call.name == "exec" and not message):  # its program ended with the container
            error_text(subprocess.CompletedProcess(process.args, code, "", message))
        return [model.Command(call.name, end), *more]

    def _narrow(self, container_id: str, commands: list[model.Command]) -> None:
        """What the commands came to must be possible, and be what `state` and `list` say."""
        before = self.states[container_id]
        possible = model.after(before, commands, self.table)
        assert possible, f"from {before} not possible: {commands}"
        seen = comes_true(lambda: possible & self._look(container_id))  # a killed process gets a moment to end
        assert seen, f"{possible} after {commands}, but `state` says {self._look(container_id)}"
        self.states[container_id] = seen
        assert (seen == {model.NONE}) == (container_id not in [row["id"] for row in self.runtime.list_json()])

    def _look(self, container_id: str) -> set[str]:
        result = self.runtime.state(container_id)
        if result.returncode:
            error_text(result, *([] if runtime_name() in PEERS else ["does not exist"]))
            return {model.NONE}
        document = json.loads(result.stdout)
        return set() if _is_dying(document["pid"]) else model.SEEN_AS[document["status"]]

    def teardown(self) -> None:
        """All can be deleted, and nothing is left."""
        for container_id in self.ids:
            deleted = self.runtime.delete(container_id, "--force")
            if deleted.returncode:
                self.failures.append(f"{deleted.stderr}; before: {self.said}")
        if left := self.runtime.list_json():
            self.failures.append(f"{left} after delete --force; before: {self.said}")
        reap()


def _is_dying(pid: int) -> bool:
    """Whether SIGKILL is pending, or the process is on its way out, and is not a zombie yet."""
    if pid <= 0:
        return False
    try:
        with open(f"/proc/{pid}/status") as status, open(f"/proc/{pid}/stat") as stat:
            words = dict(line.split(":", 1) for line in status)
            fields = stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    pending = int(words["SigPnd"], 16) | int(words["ShdPnd"], 16)
    return fields[0] not in "ZX" and bool(pending & 1 << 8 or int(fields[6]) & 4)  # PF_EXITING


def test_commands_at_random(
    runtime: Runtime,
    make_bundle: Callable[[], Bundle],
    pytestconfig: pytest.Config,
    record_property: Callable[[str, str], None],
) -> None:
    rounds: int = pytestconfig.getoption("--rounds")
    bundles = {}
    for _ in range(2):
        bundles[new_id()] = bundle = make_bundle().shell("exec sleep 1000")
        bundle.save(next(reversed(bundles)))
    runtime.root.mkdir(exist_ok=True)
    profile = settings(
        max_examples=rounds, stateful_step_count=_STEPS, derandomize=rounds <= _USUAL, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],  # the same commands may race in another way
    )  # fmt: skip
    counts, failures = Counter[str](), list[str]()
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            lambda: Lives(runtime, bundles, counts, failures), settings=profile
        )
    except (AssertionError, HypothesisException):  # it tries again what has failed, which may end in another way
        if not failures:
            raise
    assert not failures, failures[0]
    ends = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    record_property("ends", f"commands at random: {counts.total()}: {ends}")
