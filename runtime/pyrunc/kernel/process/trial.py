"""Try in a child, in namespaces of its own, what is to leave no trace in this process."""

import posix

from pyrunc.kernel import syscalls

from . import credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def try_in_child(flags: int, work: "Callable[[], None]") -> int:
    """Do `work` in a child in new namespaces (CLONE_NEW*): 0, or the errno by which it failed. OSError of the clone."""
    if posix.geteuid() == 0:
        credentials.hide()  # before the clone: root of what is joined, or a container that sees it, may be hostile
    pid = syscalls.fork_into(flags)
    if pid == 0:
        answer = 255
        try:
            work()
            answer = 0
        except OSError as error:
            answer = error.errno or 255
        finally:
            posix._exit(answer)  # noqa: SLF001  (nothing may pass from here into the parent's code)
    _, status = posix.waitpid(pid, 0)
    return posix.WEXITSTATUS(status) if posix.WIFEXITED(status) else 255
