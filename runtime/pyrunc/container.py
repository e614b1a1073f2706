"""The state directory of a container, `ROOT/ID/`: what the runtime knows of it between two commands.

    boot          a link to no place: the boot it was made in. Unlike a file's content, a power cut leaves it whole
    journal       a line for each resource, so that `delete --force` finds it after a crash (savedstate.FIELDS)
    config.json   the configuration as it was at create
    exec.fifo     the init process reads one byte from it before it becomes the user's program
    exec.result   how that went, read by `start`
    state.json    written last (temporary file, then rename): create has come to its end

It is made, locked and with a journal, under another name, and renamed to the id, which claims that: under an id there
is never a directory that is not yet anybody's. Commands that change a container hold flock(2) on it. Removing renames
it first, so that a removal cut short leaves nothing under the id (`stateroot.collect` removes that).
"""

import fcntl
import posix
from errno import EINVAL, ENOSYS

from pyrunc.kernel.process import processes

from . import jsontext, lifecycle, stateroot
from .cgroup import events
from .errors import NotFound, PyruncError
from .kernel.descriptors import opened
from .savedstate import FIELDS, State

STATE_VERSION = 1
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_MAX_ID, _MAX_STATE = 255 - len(stateroot.GRAVE) - 17, 64 << 20


def check_id(container_id: str) -> None:
    """Refuse an id that could mean another path than `ROOT/ID` (letters, digits, `_+-.`; not `.` or `-` first)."""
    if not container_id or len(container_id) > _MAX_ID or container_id[0] in ".-" or set(container_id) - _ID_CHARACTERS:
        raise PyruncError(
            f"invalid container id `{container_id[:80]}`",
            hint=f"an id has 1 to {_MAX_ID} letters, digits or `_+-.`, and does not start with `.` or `-`",
        )


class Container:
    """One state directory, held open."""

    __slots__ = ("fd", "id", "path", "root")

    def __init__(self, root: str, container_id: str, fd: int) -> None:
        self.root, self.id, self.path, self.fd = root, container_id, f"{root}/{container_id}", fd

    @classmethod
    def claim(cls, root: str, container_id: str) -> "Container":
        """Take an unused id, locked. Raises PyruncError if it is taken; on failure nothing is left."""
        from .kernel import trees  # noqa: F401  (for undoing, which may have no room to load anything)

        check_id(container_id)
        path = f"{root}/{container_id}"
        try:
            try:
                stateroot.check(root)
            except FileNotFoundError:
                stateroot.make(root)
                stateroot.check(root)
            for _ in range(_TRIES):
                if (container := cls._claim(root, container_id)) is not None:
                    return container
        except FileExistsError:
            raise PyruncError(f"container with id `{container_id}` already exists") from None
        except OSError as error:
            raise PyruncError.from_os(f"create the state directory `{path}`", error, check="state-directory") from None
        raise PyruncError(f"create the state directory `{path}`: others keep removing it")

    @classmethod
    def _claim(cls, root: str, container_id: str) -> "Container | None":
        """None if `stateroot.collect` has taken it for one that was left, before it was locked."""
        container = cls(root, container_id, -1)
        hidden = f"{root}/{stateroot.CLAIM}{container_id}-{posix.urandom(8).hex()}"
        try:
            posix.mkdir(hidden, 0o700)
            try:
                container.fd = posix.open(hidden, stateroot.DIRECTORY)
            except FileNotFoundError:
                return None
            fcntl.flock(container.fd, fcntl.LOCK_EX)
            if not container._is_at(hidden):
                posix.close(container.fd)
                return None
            stateroot.check_owner(hidden, posix.fstat(container.fd), only_ours=True)
            container._mark_boot()
            container.note("id", container_id)
            _publish(hidden, container.path)
        except BaseException:
            container._discard(hidden)
            raise
        return container

    def _discard(self, hidden: str) -> None:
        """Undo a claim, wherever it has come to. Nobody else can know the name."""
        from .kernel import trees

        for path in (hidden, self.path):
            try:
                if self._is_at(path) if self.fd >= 0 else path == hidden:
                    trees.remove(path)
            except OSError:  # why the claim failed says more; what stays is collected by a later command
                continue
        if self.fd >= 0:
            posix.close(self.fd)

    def _is_at(self, path: str) -> bool:
        """Whether the directory is there under this name."""
        try:
            there, mine = posix.stat(path, follow_symlinks=False), posix.fstat(self.fd)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    @classmethod
    def open(cls, root: str, container_id: str) -> "Container":
        """An existing container, not locked. Raises NotFound."""
        check_id(container_id)
        path = f"{root}/{container_id}"
        try:
            stateroot.check(root)
            fd = posix.open(path, stateroot.DIRECTORY)
            try:
                stateroot.check_owner(path, posix.fstat(fd), only_ours=True)
            except PyruncError:
                posix.close(fd)
                raise
            return cls(root, container_id, fd)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"container `{container_id}` does not exist") from None
        except OSError as error:
            raise PyruncError.from_os(f"open the state directory `{root}/{container_id}`", error) from None

    @classmethod
    def open_for(cls, command: str, root: str, container_id: str) -> "tuple[Container, State]":
        """An existing container, locked, in a status that takes the command; and its state."""
        container = cls.open(root, container_id)
        container.lock()
        state = container.load()
        lifecycle.require(command, container.status(state), container_id)
        return container, state

    def exists(self) -> bool:
        """Whether the directory is still there under the id; asked by who holds the lock."""
        return self._is_at(self.path)

    def owner(self) -> str:
        """The name of the user whose container this is; `#1234` for one without a name."""
        uid = posix.fstat(self.fd).st_uid
        if uid == 0:
            return "root"  # `state` is called often, and a look-up loads the C library's modules
        import pwd

        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"#{uid}"

    def lock(self) -> None:
        """Wait for the lock. Raises NotFound if the container was deleted meanwhile."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        self._require_there()

    def _require_there(self) -> None:
        if not self._is_at(self.path):
            raise NotFound(f"container `{self.id}` does not exist")

    def try_lock(self) -> bool:
        """Take the lock if it is free. Raises NotFound as `lock` does."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._require_there()
        return True

    def unlock(self) -> None:
        """Give the lock up before the command ends."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def has(self, name: str) -> bool:
        """Whether the state directory holds a file or directory of this name."""
        return posix.access(name, posix.F_OK, dir_fd=self.fd)

    # -- the boot -------------------------------------------------------------------------------------------------

    def _mark_boot(self) -> None:
        try:
            target = " ".join(processes.boot())
        except (FileNotFoundError, PermissionError):  # /proc with the option `subset=pid`
            target = f"{'?' * _BOOT_ID} 0"
        posix.symlink(target, "boot", dir_fd=self.fd)

    def _boot(self) -> "list[str]":
        """What `processes.boot` was when the directory was made; [] if it bears no such mark, and may be another's."""
        try:
            words = posix.readlink("boot", dir_fd=self.fd).split(" ")
        except OSError as error:
            if error.errno in _ACCIDENTS:
                raise PyruncError.from_os(f"read `{self.path}/boot`", error) from None
            return []  # an older pyrunc made it
        return words if len(words) == 2 and len(words[0]) == _BOOT_ID else []

    def _is_past(self) -> bool:
        """Whether the machine has been booted since. Only who is in the same pid namespace can tell: a container may be
        shown another id of the same boot (systemd-nspawn does that), and of two that are there at once no inodes agree.
        """
        made = self._boot()
        try:
            return bool(made) and made[0] != (here := processes.boot())[0] and made[1] == here[1]
        except OSError as error:
            if error.errno in _ACCIDENTS:
                raise PyruncError.from_os("read the boot id", error) from None
            return False

    # -- the journal ----------------------------------------------------------------------------------------------

    def note(self, key: str, value: "str | int | list[str] | list[int]") -> None:
        """Add a line; a later one replaces one of the same key."""
        assert key == "init" or key in FIELDS
        self._write("journal", jsontext.dump_bytes([key, value]) + b"\n", posix.O_APPEND)

    def _journal(self) -> State:
        """What it says. A line that we do not write, or have not come to write whole, says nothing."""
        state = State()
        for line in (self._read("journal") or b"").split(b"\n")[:-1]:
            try:
                entry = jsontext.loads(line, "journal")
            except PyruncError:
                continue
            if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
                key, value = entry
                if key != "init":
                    state.take(key, value)
                elif isinstance(value, list) and len(value) == 4 and all(type(number) is int for number in value):
                    state.pid, state.start_time, *state.seen_from = value
        return state

    # -- the state ------------------------------------------------------------------------------------------------

    def save(self, state: State) -> None:
        """Write `state.json`; from now on the container is created."""
        content = jsontext.dump_bytes({"version": STATE_VERSION, **state.to_json()})
        self._write("state.json.tmp", content, posix.O_TRUNC)
        posix.rename("state.json.tmp", "state.json", src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def load(self) -> State:
        """The state as it was saved; from the journal while (or because) create did not come to its end."""
        content = self._read("state.json")
        if content is None:
            state = self._journal()
            if not state.to_json():  # not even claimed by us, or the disk was full
                raise PyruncError(f"the state of container `{self.id}` is damaged: it is empty", hint=_DAMAGED_HINT)
            return self._of_its_boot(state)
        try:
            data = jsontext.loads(content, "state.json")
        except PyruncError as error:
            raise PyruncError(f"the state of container `{self.id}` is damaged: {error}", hint=_DAMAGED_HINT) from None
        version, state = data.get("version") if isinstance(data, dict) else None, State(saved=True)
        if isinstance(version, int) and version > STATE_VERSION:
            raise PyruncError(f"the state of container `{self.id}` was written by a newer pyrunc")
        if not (isinstance(data, dict) and state.read(data)):
            raise PyruncError(f"the state of container `{self.id}` is damaged", hint=_DAMAGED_HINT)
        return self._of_its_boot(state)

    def _of_its_boot(self, state: State) -> State:
        if self._is_past():
            state.forget_last_boot()
        return state

    def load_or_journal(self) -> State:
        """Like `load`, but a damaged state gives way to the journal: for `delete --force`.

        One that bears no mark of ours, and of which the journal is not a container's of this id, was never ours: with a
        --root that is another's place, such as /etc, it would be removed with all that is in it.
        """
        try:
            return self.load()
        except PyruncError:
            state = self._journal()
            if not self.is_ours(state):
                text = f"`{self.path}` is not a container's state directory: it has no journal of `{self.id}`"
                raise PyruncError(text) from None
            # Without a state.json create has not come to its end, and init ended with it.
            state.saved = self.has("state.json")
            return self._of_its_boot(state)

    def is_ours(self, noted: "State | None" = None) -> bool:
        """Whether the directory has our mark, or its journal (`noted`, if read already) is of this id."""
        return bool(self._boot()) or (noted or self._journal()).id == self.id

    def load_surely(self, state: State) -> State:
        """The state, with the init process of the journal if that is another, and runs: then the state is damaged."""
        if not state.past and not state.alive():
            noted = self._journal()
            if (noted.pid, noted.start_time) != (state.pid, state.start_time) and noted.alive():
                state.pid, state.start_time = noted.pid, noted.start_time
        return state

    def status(self, state: State) -> str:
        """The status, derived from facts."""
        alive = state.alive()
        waiting = alive and self._init_waits()
        frozen = alive and bool(state.cgroup) and events.frozen(state.cgroup)
        if not state.saved and not alive and not self._locked():
            return lifecycle.STOPPED  # create was killed: nobody is creating this any more
        return lifecycle.derive(saved=state.saved, alive=alive, waiting=waiting, frozen=frozen)

    def _init_waits(self) -> bool:
        """Whether somebody can still read from the fifo: only an init process that was not started yet does."""
        try:
            posix.close(self.open_fifo())
        except OSError as error:
            if error.errno not in _ACCIDENTS:  # ENXIO: nobody reads; ENOENT: `start` has removed it
                return False
            raise PyruncError.from_os(f"open `{self.path}/exec.fifo`", error) from None
        return True

    def open_fifo(self) -> int:
        """The fifo's writing end; ENXIO if init does not wait."""
        return posix.open("exec.fifo", posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC, dir_fd=self.fd)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return False

    # -- files ----------------------------------------------------------------------------------------------------

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file of the state directory."""
        self._write(name, content, posix.O_TRUNC)

    def _write(self, name: str, content: bytes, flags: int) -> None:
        try:
            how = posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW | flags
            with opened(posix.open(name, how, 0o600, dir_fd=self.fd)) as fd:
                while content:
                    content = content[posix.write(fd, content) :]
        except OSError as error:
            raise PyruncError.from_os(f"write `{self.path}/{name}`", error) from None

    def _read(self, name: str) -> "bytes | None":
        """The content of a file, None if it is missing."""
        flags = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
        try:
            with opened(posix.open(name, flags, dir_fd=self.fd)) as fd:
                size = posix.fstat(fd).st_size
                return posix.read(fd, min(size, _MAX_STATE) + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PyruncError.from_os(f"read `{self.path}/{name}`", error) from None

    def read(self, name: str) -> bytes:
        """The content of a file of the state directory. Raises PyruncError if it is missing."""
        content = self._read(name)
        if content is None:
            raise PyruncError(f"the state of container `{self.id}` has no `{name}`", hint=_DAMAGED_HINT)
        return content

    def remove(self) -> None:
        """Remove the directory, under another name first, so that the id is free or taken but never half there; and
        what removals that were cut short have left."""
        from .kernel import trees

        grave = f"{self.root}/{stateroot.GRAVE}{self.id}-{posix.urandom(8).hex()}"
        try:
            posix.rename(self.path, grave)
            trees.remove(grave)
        except OSError as error:
            raise PyruncError.from_os(f"remove the state directory `{self.path}`", error) from None
        stateroot.collect(self.root)


_DAMAGED_HINT = "`pyrunc delete --force` removes what is left of it"
_BOOT_ID = 36  # characters
_TRIES = 8


def _publish(hidden: str, path: str) -> None:
    """Give a claimed directory its name. FileExistsError if that is taken, be it by an empty directory."""
    from .kernel import syscalls

    try:
        syscalls.rename_to_new(hidden, path)
    except OSError as error:
        if error.errno not in {EINVAL, ENOSYS}:
            raise
        posix.mkdir(path, 0o700)  # NFS: a create that is killed here leaves an empty directory
        posix.rename(hidden, path)


_ACCIDENTS = frozenset((5, 12, 23, 24))  # EIO, ENOMEM, ENFILE, EMFILE: they say nothing of the file
