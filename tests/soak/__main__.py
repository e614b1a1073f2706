"""Do the same thing thousands of times, and look at what has grown: `python -m tests.soak cycles=10000 execs=10000`.

    cycles=N     create, start and delete a container
    execs=N      run a program in a container that stays
    joins=N      create with a new user namespace beside a network namespace that is joined by its path
    storm=S      create, delete --force and start of one id by several processes at once, for S seconds

1 if anything has failed, is left, or grows. RUNTIME is the runtime, as in all tests. Needs root.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import leftovers, privatehost
from tests.bundle import Bundle, build_rootfs
from tests.faults import orphans
from tests.runtime import Runtime, new_id, runtime_name
from tests.soak import gauges, work

Once = Callable[[Runtime, Bundle], str]
WARM_UP = 20  # rounds before the first look: caches fill, of the kernel and of the state directory


class Soak:
    """A place for bundles and state, and how many workers there are."""

    def __init__(self, place: Path, workers: int) -> None:
        """Make the place's root file system."""
        self.place, self.workers, self.failed = place, workers, False
        self.runtime = orphans.Watched(place / "state")
        build_rootfs(place / "template")
        self.bundle = self.make_bundle("bundle")

    def make_bundle(self, name: str) -> Bundle:
        """One that is saved without a cgroup's name, so that containers of any id can be made from it."""
        bundle = Bundle(self.place / name, self.place / "template").shell("exec sleep 1000000")
        bundle.names_cgroup = False
        bundle.save("")
        return bundle

    def repeat(self, once: Once, bundle: Bundle, *, rounds: int = 0, seconds: float = 0) -> Counter[str]:
        """Do it so many times, or for so long, by all workers; how often what went wrong."""
        left, end, wrong, lock = iter(range(rounds)), time.monotonic() + seconds, Counter[str](), threading.Lock()

        def worker() -> None:
            while time.monotonic() < end if seconds else next(left, None) is not None:
                said = once(self.runtime, bundle)
                with lock:
                    wrong.update([said] if said else [])

        threads = [threading.Thread(target=worker) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return wrong

    def judge(self, title: str, rounds: int, wrong: Counter[str], grown: list[str], figures: str = "") -> None:
        """Print what came of it."""
        self.failed |= bool(wrong or grown)
        counts = f"{rounds} rounds, {wrong.total()} failures, {len(grown)} grow"
        sys.stdout.write(f"{runtime_name()}: {title}: {counts}\n{figures}")
        sys.stdout.writelines(f"  failed {count:5d}: {text[:300]}\n" for text, count in wrong.most_common(10))
        sys.stdout.writelines(f"  GROWS: {line}\n" for line in grown)
        sys.stdout.flush()

    def soak(self, title: str, once: Once, bundle: Bundle, rounds: int, *, pid: int = 0) -> None:
        """Do it, with figures before and after; pid: of a process to look at, too."""
        self.repeat(once, bundle, rounds=WARM_UP)
        before, everybody = self._ours(pid), gauges.machine()
        wrong = self.repeat(once, bundle, rounds=rounds)
        # What ends asynchronously gets a moment: processes, namespaces and cgroups of the last containers.
        for _ in range(50):
            after = self._ours(pid)
            if not gauges.growth(before, after, rounds, exact=True):
                break
            time.sleep(0.1)
        now = gauges.machine()
        grown = gauges.growth(before, after, rounds, exact=True) + gauges.growth(everybody, now, rounds, exact=False)
        self.judge(title, rounds, wrong, grown, gauges.table(before, after) + gauges.table(everybody, now))

    def _ours(self, pid: int) -> gauges.Figures:
        return gauges.ours(self.runtime.root) | (gauges.process(pid) if pid else {})


def cycles(soak: Soak, rounds: int) -> None:
    """Containers that come and go, beside one that waits for `start` all the time."""
    with soak.runtime.created(soak.make_bundle("waiting")) as waiting:
        soak.soak("create, start, delete", work.cycle, soak.bundle, rounds, pid=waiting.pid)


def execs(soak: Soak, rounds: int) -> None:
    """Programs in one container; each tenth is detached, and its parent reaps it late."""
    with soak.runtime.running(soak.make_bundle("exec")) as container:
        count = iter(range(1 << 62))

        def once(runtime: Runtime, _: Bundle) -> str:
            options = ["--detach"] if next(count) % 10 == 0 else []
            code = runtime.popen("exec", *options, container.id, "true").wait()
            return f"exec: exit status {code}" if code else ""

        soak.soak("exec", once, container.bundle, rounds, pid=container.pid)


def joins(soak: Soak, rounds: int) -> None:
    """A new user namespace beside a network namespace that has a path, as a pod's has: made by a process in between."""
    with _network_namespace() as path:
        bundle = soak.make_bundle("joined").user_namespace().namespace("network", path)
        bundle.drop_mounts("/sys")  # sysfs belongs to the network namespace, and that to the host's user namespace
        bundle.save("")
        soak.soak("create beside a joined namespace", work.joined, bundle, rounds)


def storm(soak: Soak, seconds: int) -> None:
    """One id, many commands; afterwards `delete --force` must leave nothing."""
    before, container_id = leftovers.observe(soak.runtime.root), new_id()
    soak.runtime.root.mkdir(exist_ok=True)
    todo = work.Storm(container_id)
    wrong = soak.repeat(todo, soak.bundle, seconds=seconds)
    wrong.update(filter(None, [work.said(soak.runtime, "delete", "--force", container_id)]))
    left = leftovers.check(before, soak.runtime.root)
    counts = "".join(f"    {what:30} {count:>6}\n" for what, count in sorted(todo.counts.items()))
    soak.judge("commands on one id", todo.counts.total(), wrong, left, counts)


@contextlib.contextmanager
def _network_namespace() -> Iterator[str]:
    """The path of one that a process of ours holds."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=-1, stdout=-1)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield f"/proc/{holder.pid}/ns/net"
    finally:
        holder.communicate()


KINDS = {"cycles": cycles, "execs": execs, "joins": joins, "storm": storm}


def main() -> int:
    """1 if anything failed, is left or grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, formatter_class=_Formatter)
    parser.add_argument("what", nargs="+", metavar="KIND=N", help="what to do, and how often or how long")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="so many at once (default: 2; storm: 8)")
    given = parser.parse_args()
    todo = [what.partition("=") for what in given.what]
    if any(name not in KINDS or not number.isdecimal() for name, _, number in todo):
        parser.error(f"KIND is one of {', '.join(KINDS)}, and N a number")
    privatehost.enter()
    threading.Thread(target=orphans.reap, daemon=True).start()
    failed = False
    for name, _, number in todo:
        with tempfile.TemporaryDirectory(prefix="soak-", dir=os.environ.get("TMPDIR")) as place:
            Path(place).chmod(0o711)
            soak = Soak(Path(place), 8 if name == "storm" else given.workers)
            KINDS[name](soak, int(number))
            failed |= soak.failed
    return int(failed)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


if __name__ == "__main__":
    sys.exit(main())
