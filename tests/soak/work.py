"""What is done over and over, each a function that does it once: (the runtime, a bundle) -> what went wrong, or ""."""

import subprocess
from collections import Counter

from tests.bundle import Bundle
from tests.runtime import Runtime, new_id


def cycle(runtime: Runtime, bundle: Bundle) -> str:
    """create, start, delete."""
    container_id = new_id()
    wrong = said(runtime, "create", "--bundle", str(bundle.path), container_id)
    wrong = wrong or said(runtime, "start", container_id)
    return wrong or said(runtime, "delete", "--force", container_id)


def joined(runtime: Runtime, bundle: Bundle) -> str:
    """create beside a namespace that is joined, and delete."""
    container_id = new_id()
    wrong = said(runtime, "create", "--bundle", str(bundle.path), container_id)
    return wrong or said(runtime, "delete", "--force", container_id)


class Storm:
    """Commands on one id by several processes at once: each create takes the id, or is refused because it is taken."""

    REFUSALS = ("already exists", "does not exist", "container not running", "cannot start a", "has stopped")

    def __init__(self, container_id: str) -> None:
        """Nothing has been called yet."""
        self.container_id, self.counts, self.turn = container_id, Counter[str](), 0

    def __call__(self, runtime: Runtime, bundle: Bundle) -> str:
        """The next command of the storm: create, delete --force, create, and now and then a start between."""
        self.turn += 1
        creating = ["create", "--bundle", str(bundle.path)]
        words = (creating, ["delete", "--force"], creating, ["start"])[self.turn % 4]
        wrong = said(runtime, *words, self.container_id)
        self.counts[f"{words[0]}: {'refused' if wrong else 'done'}"] += 1
        return "" if any(refusal in wrong for refusal in self.REFUSALS) else wrong


def said(runtime: Runtime, *words: str) -> str:
    """What a command that failed has said; "" if it has not failed."""
    process = runtime.popen(*words, stderr=subprocess.PIPE)
    assert process.stderr is not None
    code = process.wait()  # not communicate(): a container holds the stream
    with process.stderr:
        return f"{words[0]}: {process.stderr.read().decode(errors='replace').strip() or code}" if code else ""
