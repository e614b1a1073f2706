"""What a command and the processes that it makes say to each other: both conversations, their words, how they end.

`create`, over one socket pair of type SEQPACKET (`channel`):

    parent                                 init                                    later: pyrunc-init
      | clone3 ------------------------------>|
      |<------------------------ "entered" ---|   only if a middle process has cloned it
      |<----------------- "ready-for-maps" ---|   only with a new user namespace
      | writes uid_map, gid_map               |
      |------------------------------ "go" -->|   oom_score_adj and the like are set by now; carries
      |                                       |   timens_offsets for a user namespace that has some
      |                                       | joins namespaces, mounts
      |<------------------------ "mounted" ---|
      | prestart, createRuntime hooks         |
      |---------------------- "continue" ---->|
      |                                       | createContainer hooks, pivot_root, the rest
      |<------------------------ "console" ---|   only with a terminal; carries the pty
      |                                       | execveat ------------------------------>|
      |<-------------------------------------------------------------------- "limits" ---|   only with rlimits
      |------------------------------------------------------------------------- "." -->|
      |                                       |                                         | becomes the user
      |<------------------------------------------------------------------- "entered" ---|   only if it has split
      |------------------------------------------------------------------------- "." -->|
      |<------------------------------------------------------------------- "created" ---|
      | saves the state                       |                                         |
      |------------------------------------------------------------------------- "." -->|
                                                                                        | waits on exec.fifo
    start                                                                               |
      |---------------------------------------------------------------- exec.fifo "." -->|
      |                                                                                 | startContainer hooks
      |<-------------------------------------------------------- exec.result "started" ---|
      |<-------------------------------------------------------- exec.result "listens" ---|   only with a listener
      |---------------------------------------------------------------- exec.fifo "." -->|   of seccomp
      |<------------------------------------ end of exec.result: execve has closed it ---|

`exec`, over one such socket pair:

    exec_parent                     exec_child, then pyrunc-init    the process
      | clone3 into the cgroup ------>|
      |                               | setns
      |<---------------- "console" ---|   only with a terminal; carries it
      |                               | execveat of pyrunc-init
      |<----------------- "limits" ---|   only with rlimits, answered by "."
      |                               | becomes the user
      |                               | clone(CLONE_PARENT) -------->|
      |<------------------------------------------------- "entered" -|
      |-------------------------------------------------------- "." >|
      |<------------------------------------------------- "created" -|
      | pid file                                                     |
      |-------------------------------------------------------- "." >|
      |<------------------------------------------------- "started" -|   then the filter, if not before
      |<------------------------------------------------- "listens" -|   only with a listener, answered by "."
      |<-- end of the stream: execve has closed it ------------------|

A message is a word, for some followed by a space and a value. Python's values are JSON. pyrunc-init has no library: its
"listens" is followed by a machine word, the number of the listener's descriptor; its "failure" by what `step_report`
reads. "failure", or from Python "error", may come in place of any message to the command, and ends the conversation; a
"warning" may come before any. With startContainer hooks "listens" comes before "started", as the filter holds for them.
The end of the stream is a failure until all that was to be said has been. The command takes the message that the plan
lets it expect and no other.

Nobody waits for a message of somebody whose death would not end the stream: the parent closes the others' end before it
waits, and each process speaks for itself. Who was cloned by another than the parent says "entered", and the kernel says
with that message who has sent it (SCM_CREDENTIALS, unix(7)): no other message has to come before or after it.
"""

from _struct import calcsize, unpack_from

from pyrunc.errors import PyruncError

from . import step_report

ENTERED, READY_FOR_MAPS, GO, MOUNTED, CONTINUE = b"entered", b"ready-for-maps", b"go", b"mounted", b"continue"
CONSOLE, LIMITS, CREATED, STARTED = b"console", b"limits", b"created", b"started"
ERROR, WARNING, FAILURE, LISTENS = b"error", b"warning", b"failure", b"listens"
DONE = b"."  # what pyrunc-init waits for, which reads no more than a byte

_WORD = calcsize("N")
_LISTENS_SIZE = len(LISTENS) + 1 + _WORD


class Ending:
    """How a container's process came to its program, by all that pyrunc-init says from the last "." on: in `start`
    pieces of a stream, in `exec` one message each."""

    __slots__ = ("_rest", "_started")

    def __init__(self) -> None:
        self._rest, self._started = b"", False

    def take(self, piece: bytes) -> "int | None":
        """Take what has come. The number of its seccomp listener's descriptor, if it waits for that to be fetched."""
        self._rest += piece
        if self._rest.startswith(STARTED) and not self._started:
            self._rest, self._started = self._rest.removeprefix(STARTED), True
        if not self._rest.startswith(LISTENS) or len(self._rest) < _LISTENS_SIZE:
            return None
        (number,) = unpack_from("@N", self._rest, _LISTENS_SIZE - _WORD)
        self._rest = self._rest[_LISTENS_SIZE:]
        return int(number)

    @property
    def failed(self) -> bool:
        """Whether it has told why it does not run its program."""
        return self._rest.startswith(FAILURE)

    def error(self, who: str, end: "tuple[bytes, int] | None") -> "PyruncError | None":
        """What keeps it from running its program; None if it does. `who` it is, and its `processes.ending`."""
        if self.failed:
            return step_report.error_of(self._rest[len(FAILURE) + 1 :])
        name, status = end or (b"", 0)
        if self._started and not self._rest and name != step_report.NAME:
            return None
        return step_report.early_end(who, status if name == step_report.NAME else 0)
