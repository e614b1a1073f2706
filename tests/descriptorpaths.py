"""The attack on the program's lookup: an image whose paths lead through a descriptor of the process that becomes the
program. /proc/self/fd/N/PID/root of a procfs of the host's pid namespace is the root of any process that the user of
the container may trace: files of other containers and of the host, for which CVE-2019-5736 is a way to write, too. That
process needs a procfs for its label, so the tests of both security modules make the attack."""

import shutil

from tests.bundle import Bundle
from tests.runtime import Container

_PROGRAM = "rev"  # one of busybox's that no image has
_LINKED = range(3, 16)  # descriptors that are tried by a link each


def lend(bundle: Bundle) -> None:
    """Give a bundle the program that another container tries to run."""
    shutil.copy(bundle.rootfs / "bin/busybox", bundle.rootfs / "mnt" / _PROGRAM)


def programs_found(attacker: Container, pid: int) -> list[str]:
    """The words by which `exec` in the attacker's container has run the program that only process `pid` (the host's
    number) has in its root: by PATH through a procfs or a root directory, and by links at absolute paths."""
    places = [f"/proc/self/fd/{fd}/{way}{pid}/root/mnt" for way in ("", "proc/") for fd in range(64)]
    words = [_PROGRAM]
    for fd in _LINKED:
        link = attacker.bundle.rootfs / f"var/{fd}/{_PROGRAM}"
        link.parent.mkdir()
        link.symlink_to(f"{places[fd]}/{_PROGRAM}")
        words.append(f"/var/{fd}/{_PROGRAM}")
    call = attacker.runtime.call
    options = ["--env", f"PATH={':'.join(places)}", attacker.id]
    return [word for word in words if call("exec", *options, word, "/dev/null").returncode == 0]
