"""Seccomp profiles by their parts, read as those of a configuration are."""

from collections.abc import Sequence

from pyrunc.spec.reader import Reader
from pyrunc.spec.seccomp import Seccomp, SyscallRule


class Rule(SyscallRule):
    """An entry of `syscalls`; args: (index, operator, value, valueTwo)."""

    __slots__ = ()

    def __init__(
        self, names: Sequence[str], action: str, errno: int | None = None,
        args: Sequence[tuple[int, str, int, int]] = (),
    ) -> None:  # fmt: skip
        """As `args` say."""
        keys = ("index", "op", "value", "valueTwo")
        value = {"names": [*names], "action": action, "errnoRet": errno}
        super().__init__(Reader(value | {"args": [dict(zip(keys, arg, strict=True)) for arg in args]}, ""))


class Profile(Seccomp):
    """`linux.seccomp`; flags: None for an absent key."""

    __slots__ = ()

    def __init__(
        self, default_action: str, rules: Sequence[SyscallRule] = (), *, default_errno: int | None = None,
        architectures: Sequence[str] = (), flags: Sequence[str] | None = None,
        pointer: str = "",
    ) -> None:  # fmt: skip
        """As the arguments say."""
        value = {"defaultAction": default_action, "defaultErrnoRet": default_errno, "architectures": [*architectures]}
        super().__init__(Reader(value | ({} if flags is None else {"flags": [*flags]}), pointer))
        self.syscalls = [*rules]
