"""pyrunc events: statistics and events of a container, a line of JSON each, in the form that runc gives them."""

import time

from pyrunc import lifecycle
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.container import Container
from pyrunc.context import Context, print_json
from pyrunc.errors import PyruncError, UsageError
from pyrunc.savedstate import State

VERB = Verb(
    "print statistics and events of a container",
    ("ID",),
    (
        Option("interval", "interval between statistics (default: 5s)", "DURATION"),
        Option("stats", "print statistics once and exit"),
    ),
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def run(context: Context, arguments: Arguments) -> int:
    """Print until the container ends."""
    interval = _seconds(arguments.text("interval", "5s"))
    context.confine()
    container = Container.open(context.root, arguments.operands[0])
    state = container.load()
    if container.status(state) == lifecycle.STOPPED:
        raise PyruncError(f"container `{container.id}` has stopped")
    cgroup = state.own_cgroup("watch")
    from . import watch

    if arguments.flag("stats"):
        _print("stats", container.id, _statistics(state, cgroup))
        return 0
    with watch.Watch(cgroup) as events:
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                _print("stats", container.id, _statistics(state, cgroup))
                due = time.monotonic() + interval
            event = events.wait(max(0.0, due - time.monotonic()))
            if event == "oom":
                _print("oom", container.id, None)
            elif event == "end":
                return 0


def _statistics(state: State, cgroup: str) -> "dict[str, object]":
    from . import stats

    data = stats.stats(cgroup)
    if state.resctrl:
        from pyrunc.wings import resctrl

        data["intel_rdt"] = resctrl.statistics(state.resctrl, state.resctrl_monitor)
    return data


def _print(kind: str, container_id: str, data: object) -> None:
    line: dict[str, object] = {"type": kind, "id": container_id}
    if data is not None:
        line["data"] = data
    print_json(line)


def _seconds(text: str) -> float:
    number = text.rstrip("msh")
    unit = text[len(number) :]
    try:
        seconds = float(number) * _UNITS[unit]
    except (KeyError, ValueError):
        raise UsageError(f"invalid duration `{text}`", hint="such as 500ms, 5s, 1m") from None
    if seconds <= 0:
        raise UsageError("--interval must be more than 0")
    return seconds
