"""Children in other namespaces: one that tries what is to leave no trace here, and one that waits to be looked at."""

import _signal
import posix
from _signal import SIGKILL

import _prctl

from pyrunc.kernel import syscalls
from pyrunc.kernel.descriptors import opened

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
        answer = _GONE
        try:
            work()
            answer = 0
        except OSError as error:
            answer = error.errno or _GONE
        finally:
            posix._exit(answer)  # noqa: SLF001  (nothing may pass from here into the parent's code)
    _, status = posix.waitpid(pid, 0)
    return posix.WEXITSTATUS(status) if posix.WIFEXITED(status) else _GONE


class Held:
    """A child that waits in other namespaces until the block ends: `with Held(flags, enter) as pid:`. It ends with this
    process, too, however that does.

    flags: of new namespaces (CLONE_NEW*); enter: what the child does first, such as joining others. OSError of both.
    """

    __slots__ = ("_enter", "_flags", "_pid")

    def __init__(self, flags: int, enter: "Callable[[], None]" = lambda: None) -> None:
        self._flags, self._enter, self._pid = flags, enter, 0

    def __enter__(self) -> int:
        said, say = posix.pipe2(posix.O_CLOEXEC)
        with opened(said):
            with opened(say):
                self._pid = syscalls.fork_into(self._flags)
                if self._pid == 0:
                    _wait_for_the_end(self._enter, said, say)
            try:
                if errno := int(posix.read(said, 8) or _GONE):
                    raise OSError(errno, posix.strerror(errno))
            except BaseException:
                self.__exit__()
                raise
        return self._pid

    def __exit__(self, *_: object) -> None:
        posix.kill(self._pid, SIGKILL)
        posix.waitpid(self._pid, 0)


_GONE = 255  # no errno: neither it nor the child's exception tells one


def _wait_for_the_end(enter: "Callable[[], None]", said: int, say: int) -> None:
    """In the child; never returns."""
    try:
        posix.close(said)  # so that it has no reader if our parent has ended already
        enter()
        # Both are lost with new credentials: root of the namespace that was joined could look into us.
        credentials.hide()
        _prctl.prctl(_prctl.PR_SET_PDEATHSIG, SIGKILL)
        posix.write(say, b"0")
        while True:
            _signal.pause()
    except OSError as error:
        posix.write(say, str(error.errno or _GONE).encode())
    finally:
        posix._exit(0)  # noqa: SLF001  (nothing may pass from here into the parent's code)
