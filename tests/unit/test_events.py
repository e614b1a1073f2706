"""What `events` prints of what happens in a cgroup, in the lines that containerd reads."""

import json
from types import SimpleNamespace

import pytest
from pyrunc.arguments import Arguments
from pyrunc.savedstate import State
from pyrunc.wings.events import events, watch


class Watch:
    """A cgroup in which these things happen one after the other; waits: the seconds that each was waited for."""

    def __init__(self, *happens: str) -> None:
        self.happens, self.waits = list(happens), list[float]()

    def __call__(self, path: str) -> "Watch":
        assert path == "/cgroup"
        return self

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, seconds: float) -> str:
        self.waits.append(seconds)
        return self.happens.pop(0)


@pytest.fixture
def lines(monkeypatch, capfd):
    def run(seen: Watch, **options: str | bool) -> list[dict[str, object]]:
        state = State(saved=True)
        state.cgroup = "/cgroup"
        container = SimpleNamespace(id="x", load=lambda: state, status=lambda _: "running")
        monkeypatch.setattr(events.Container, "open", lambda *_: container)
        monkeypatch.setattr(events, "_statistics", lambda *_: {"n": 1})
        monkeypatch.setattr(watch, "Watch", seen)
        arguments = Arguments()
        arguments.operands, arguments.options = ["x"], dict(options)
        assert events.run(SimpleNamespace(root="/", confine=lambda: None), arguments) == 0
        return [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    return run


STATISTICS = {"type": "stats", "id": "x", "data": {"n": 1}}


def test_out_of_memory_and_the_end(lines):
    assert lines(Watch("oom", "oom", "end"), interval="1h") == [STATISTICS, *[{"type": "oom", "id": "x"}] * 2]


@pytest.mark.parametrize(("interval", "seconds"), [("1h", 3600), ("2m", 120), ("7", 7), ("500ms", 0.5)])
def test_interval(lines, interval, seconds):
    seen = Watch("end")
    lines(seen, interval=interval)
    assert seen.waits == [pytest.approx(seconds, abs=0.2)]


def test_statistics_alone(lines):
    assert lines(Watch(), stats=True) == [STATISTICS]
