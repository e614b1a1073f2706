"""AppArmor profiles and SELinux labels: what has to be written to which attribute of a process, and for keyrings.

A label that cannot be applied is an error: the spec wants one for every property that is not honoured (runtime.md,
"Create"), and a container that runs unconfined although its config says otherwise is what an attacker would like.
runc does so too, crun goes on without. Only `unconfined` asks for nothing that a kernel without AppArmor lacks.

The kernel takes a write to /proc/PID/attr/... from the process itself only, and, since Linux 5.13, only through a
descriptor that was opened in the same memory, which execve changes. So init keeps a private procfs, and pyrunc-init
opens the file in it and writes (`stages.security_steps`); what is mounted on the container's /proc has no part in it
(CVE-2019-16884).
"""

import posix

from pyrunc.errors import PyruncError
from pyrunc.kernel import files, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.mount import procfs

# Below /proc/thread-self/attr. AppArmor's own directory is there since Linux 5.1: with two security modules `exec`
# alone is the other one's.
_APPARMOR_EXEC, _EXEC, _KEYCREATE, _CURRENT = "attr/apparmor/exec", "attr/exec", "attr/keycreate", "attr/current"
_APPARMOR_ENABLED = "/sys/module/apparmor/parameters/enabled"
_APPARMOR_PROFILES = "/sys/kernel/security/apparmor/profiles"
_SELINUX, SELINUX_MAGIC = "/sys/fs/selinux", 0xF97CFF8C
UNCONFINED = "unconfined"
_MOST_BYTES = 4 << 20


class Attribute:
    """A write that the next execve of the same task obeys. path: below /proc/thread-self; value: for one write(2)."""

    __slots__ = ("path", "value")

    def __init__(self, path: str, value: bytes) -> None:
        self.path, self.value = path, value

    def describe(self) -> str:
        """For an error; podman tells by the back-quoted path that it is a security attribute."""
        return f"write file `/proc/thread-self/{self.path}`"


def exec_attributes(selinux_label: str, apparmor_profile: str) -> "list[Attribute]":
    """What a process has to write before its execve; "" for no label of a module."""
    attributes = []
    if selinux_label:
        attributes.append(Attribute(_EXEC, selinux_label.encode()))
    if apparmor_profile:
        attributes.append(Attribute(_APPARMOR_EXEC, f"exec {apparmor_profile}".encode()))
    return attributes


def selinux_enabled() -> bool:
    """Whether its file system is mounted and a policy is loaded: before that, every process is called `kernel`."""
    try:
        with opened(posix.open(_SELINUX, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)) as fd:
            there = syscalls.statfs_type(fd) == SELINUX_MAGIC
    except OSError:
        return False
    return there and _read(f"/proc/thread-self/{_CURRENT}").rstrip(b"\0\n") not in {b"", b"kernel"}


def apparmor_enabled() -> bool:
    """Whether the kernel has AppArmor, and it was not turned off at boot."""
    return _read(_APPARMOR_ENABLED).startswith(b"Y")


def apparmor_profiles() -> "frozenset[str]":
    """The names of the profiles that are loaded; none if the list, which is root's, cannot be read."""
    lines = _read(_APPARMOR_PROFILES).decode("utf-8", "surrogateescape").split("\n")
    return frozenset(line.rpartition(" (")[0] for line in lines if line)  # NAME (MODE)


def own_path(attribute: Attribute) -> str:
    """Where a process finds the attribute in a private procfs: the symlink is the kernel's own."""
    return f"thread-self/{attribute.path}"


def check_restored(pid: int, asked: str) -> None:
    """Raise PyruncError unless the process is confined as `asked`, TYPE:LABEL of criu's --lsm-profile. CRIU does not
    say if it gives a process no label because the one that was checkpointed had none."""
    module, _, label = asked.partition(":")
    attribute = f"/proc/{pid}/attr/{'apparmor/' if module == 'apparmor' else ''}current"
    found = _read(attribute).rstrip(b"\0\n").decode("utf-8", "replace")  # of AppArmor: NAME (MODE)
    if found != label and found.rpartition(" (")[0] != label:
        text = f"the restored process is `{found}`, not `{label}`, as --lsm-profile asks"
        raise PyruncError(text, hint="CRIU changes the label of what was confined when it was checkpointed, only")


def label_new_keys(proc: int, label: str) -> None:
    """Set the SELinux label of the keyrings that this process makes from now on, up to its next execve."""
    what = Attribute(_KEYCREATE, b"").describe()
    procfs.write(proc, f"thread-self/{_KEYCREATE}", label, what=what)


def _read(path: str) -> bytes:
    """A small file of the host; b"" if it cannot be read."""
    try:
        return files.read(path, _MOST_BYTES)
    except OSError:
        return b""
