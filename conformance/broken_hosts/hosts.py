"""Hosts on which containers fail, each made in namespaces of its own around one call of the runtime.

A host is a shell script that root runs in a new mount namespace before it becomes the user (`as_root`), and words
before the command (`wrapper`) that the user runs. In the scripts $U is the user's id, $D a directory to use, $INIT the
file of pyrunc-init, $F a drop-in for the user's manager, and `break_library NAME` makes a library useless.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ROOT, USER = "root", "user"
EPERM, ENOSYS = "1", "38"
SYSCTL = Path("/proc/sys")


@dataclass(frozen=True)
class Host:
    """A broken host.

    check, finding: of `pyrunc doctor`, and words in what it finds. error: words in the error of `create`, None where
    that works all the same. fatal: doctor's status is 1.
    config: changes a config.json that works for the user; ids: one that maps subordinate ids.
    natural: a machine may be so by itself, and then the control, the same without the fault, says the same.
    whole_machine: the fault is not in namespaces; the command that sets it back.
    needs: a reason why this host cannot be made here, "" if it can.
    """

    name: str
    who: str
    check: str
    finding: str
    error: tuple[str, ...] | None
    as_root: str = ""
    wrapper: tuple[str, ...] = ()
    enter: tuple[str, ...] = ("unshare", "--mount")
    flags: tuple[str, ...] = ()
    config: Callable[[Json], None] | None = None
    ids: bool = False
    fatal: bool = False
    natural: bool = False
    whole_machine: str = ""
    needs: Callable[[], str] = lambda: ""


def sysctl(name: str) -> Callable[[], str]:
    """Needs a sysctl."""
    return lambda: "" if (SYSCTL / name.replace(".", "/")).exists() else f"this kernel has no {name}"


def program(name: str) -> Callable[[], str]:
    """Needs a program."""
    return lambda: "" if shutil.which(name) else f"needs {name}"


def without(errno: str, *calls: str) -> tuple[str, ...]:
    """A wrapper under which system calls fail."""
    return (sys.executable, str(Path(__file__).with_name("refuse_calls.py")), errno, ",".join(calls))


def limit_memory(config: Json) -> None:
    """Asks for a limit."""
    config["linux"]["resources"] = {"memory": {"limit": 64 << 20}}


def limit_cpu(config: Json) -> None:
    """Asks for a limit that users are rarely given."""
    config["linux"]["resources"] = {"cpu": {"shares": 512}}


def name_unit(config: Json) -> None:
    """A cgroup for systemd to make."""
    config["linux"]["cgroupsPath"] = ""


def limit_cpu_of_unit(config: Json) -> None:
    """Both."""
    name_unit(config)
    limit_cpu(config)


def map_mount(config: Json) -> None:
    """An id-mapped mount."""
    ids = [{"containerID": 0, "hostID": 0, "size": 1}]
    mount = {"destination": "/mnt", "type": "bind", "source": "rootfs/tmp", "options": ["bind"]}
    config["mounts"].append({**mount, "uidMappings": ids, "gidMappings": ids})


def filter_calls(config: Json) -> None:
    """A seccomp profile."""
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
    }


def user_manager() -> str:
    """Needs the user manager of the VM."""
    return "" if Path("/run/user/1000/systemd").exists() else "needs a systemd user manager"


ONLY_PIDS = """
    mkdir -p ${F%/*}; printf '[Service]\\nDelegate=\\nDelegate=pids\\n' > $F
    systemctl daemon-reload; systemctl restart user@$U.service
"""
LIMIT_IN_NAMESPACE = "sh", "-ec", 'echo 0 > /proc/sys/user/$0; exec setpriv --ambient-caps=-all "$@"'

HOSTS = [
    Host(
        "root without CAP_SYS_ADMIN", ROOT, "privileges", "without CAP_SYS_ADMIN", ("first process",), fatal=True,
        wrapper=("setpriv", "--bounding-set=-sys_admin"),
    ),
    Host(
        "no clone3", ROOT, "system-calls", "lacks clone3", ("clone3",), wrapper=without(ENOSYS, "clone3"), fatal=True,
    ),
    Host(
        "Linux 5.11: no mount_setattr", ROOT, "system-calls", "lacks mount_setattr (Linux 5.12)", ("mount_setattr",),
        wrapper=without(ENOSYS, "mount_setattr"), fatal=True,
    ),
    Host(
        "Linux 5.5: no openat2", ROOT, "system-calls", "lacks openat2 (Linux 5.6)", ("openat2",),
        wrapper=without(ENOSYS, "openat2", "pidfd_getfd"), fatal=True,
    ),
    Host(
        "max_pid_namespaces is 0", ROOT, "namespaces", "user.max_pid_namespaces is 0", ("first process",),
        enter=("unshare", "--user", "--map-root-user", "--mount"), as_root="echo 0 > /proc/sys/user/max_pid_namespaces",
    ),
    Host(
        "max_user_namespaces is 0", USER, "user-namespaces", "user.max_user_namespaces is 0", ("first process",),
        wrapper=("unshare", "--user", "--map-user=$U", "--map-group=$U", "--keep-caps", *LIMIT_IN_NAMESPACE,
                 "max_user_namespaces"), fatal=True,
    ),
    Host(
        "no user namespace for an id-mapped mount", ROOT, "user-namespaces", "user.max_user_namespaces is 0",
        ("for an id-mapped mount",), config=map_mount, enter=("unshare", "--user", "--map-root-user", "--mount"),
        as_root="echo 0 > /proc/sys/user/max_user_namespaces",
    ),
    Host(
        "Debian: unprivileged_userns_clone is 0", USER, "user-namespaces", "kernel.unprivileged_userns_clone is 0",
        ("first process",), fatal=True, as_root="sysctl -qw kernel.unprivileged_userns_clone=0",
        whole_machine="sysctl -qw kernel.unprivileged_userns_clone=1", needs=sysctl("kernel.unprivileged_userns_clone"),
    ),
    # What AppArmor refuses there is refused by a filter here, and a file stands for the sysctl: the kernel is Ubuntu's.
    Host(
        "Ubuntu: AppArmor restricts user namespaces", USER, "user-namespaces", "AppArmor restricts them",
        ("root of the user namespace",), fatal=True, wrapper=without(EPERM, "mount", "setresuid", "setresgid"),
        as_root="mount -t tmpfs none /proc/sys/kernel; echo 1 > /proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    ),
    Host(
        "no subordinate ids", USER, "subordinate-ids", "no ids for", ("not yours to map",), ids=True,
        as_root=": > $D/subids", needs=program("newuidmap"),
    ),
    Host(
        "a user without a name", USER, "subordinate-ids", "the user has no name", ("newgidmap",), ids=True,
        as_root="mount --bind /dev/null /etc/passwd", needs=program("newuidmap"),
    ),
    Host(
        "no newuidmap", USER, "id-map-programs", "newuidmap is not installed", ("newuidmap is needed",), ids=True,
        as_root=": > $D/empty; mount --bind $D/empty /usr/bin/newuidmap", needs=program("newuidmap"),
    ),
    Host(
        "newuidmap without its bit", USER, "id-map-programs", "neither setuid root nor", ("newuidmap` refused",),
        ids=True, needs=program("newuidmap"),
        as_root="cp /usr/bin/newuidmap $D/plain; chmod 755 $D/plain; mount --bind $D/plain /usr/bin/newuidmap",
    ),
    Host(
        "newuidmap on a nosuid mount", USER, "id-map-programs", "mounted nosuid", ("newuidmap` refused",), ids=True,
        as_root="f=/usr/bin/newuidmap; mount --bind $f $f; mount -o remount,bind,nosuid $f", needs=program("newuidmap"),
    ),
    Host(
        "called with no_new_privs", USER, "id-map-programs", "no_new_privs", ("newgidmap` refused",), ids=True,
        wrapper=("setpriv", "--no-new-privs"), needs=program("newuidmap"),
    ),
    Host(
        "a covered /proc", USER, "proc-mount", "/proc/fs covers parts of /proc", ("mount `proc`",),
        as_root="mount -t tmpfs none /proc/fs",
    ),
    Host(
        "a read-only state directory", ROOT, "state-directory", "read-only", ("create the state directory",),
        fatal=True, as_root="mount --bind $D $D; mount -o remount,bind,ro $D",
    ),
    Host(
        "a state directory that others may write into", ROOT, "state-directory", "others may write into",
        ("the state directory",), fatal=True, as_root="mkdir -p $D/state; chmod 777 $D/state",
    ),
    Host(
        "vm.memfd_noexec is 2", ROOT, "memory-files", "vm.memfd_noexec is 2", None, needs=sysctl("vm.memfd_noexec"),
        enter=("unshare", "--pid", "--fork", "--mount-proc"), as_root="echo 2 > /proc/sys/vm/memfd_noexec",
    ),
    Host(
        "vm.memfd_noexec is 2, and pyrunc-init is the user's", USER, "memory-files", "vm.memfd_noexec is 2, and",
        ("protect pyrunc-init",), fatal=True, needs=sysctl("vm.memfd_noexec"),
        enter=("unshare", "--pid", "--fork", "--mount-proc"),
        as_root="echo 2 > /proc/sys/vm/memfd_noexec; cp $INIT $D/init; chown $U $D/init; mount --bind $D/init $INIT",
    ),
    Host(
        "no cgroup v2", ROOT, "cgroups", "containers with limits are refused", ("no cgroup v2 hierarchy",),
        config=limit_memory, as_root="mount -t tmpfs none /sys/fs/cgroup",
    ),
    Host(
        "a user without a cgroup", USER, "controllers", "no cgroup is delegated", ("cgroup",), config=limit_memory,
        as_root="d=/sys/fs/cgroup; mount --bind $d $d; mount -o remount,bind,ro $d", natural=True,
    ),
    Host(
        "a session that is not in the user's cgroup", USER, "controllers", "this process is not below it",
        ("controller `memory`",), config=limit_memory, needs=user_manager, natural=True,
    ),
    Host(
        "only pids delegated", USER, "controllers", "io not available in `/user", ("controller `cpu`",),
        flags=("--systemd-cgroup",), config=limit_cpu_of_unit, as_root=ONLY_PIDS, needs=user_manager,
        whole_machine="rm $F; systemctl daemon-reload; systemctl restart user@$U.service",
    ),
    Host(
        "no user bus", USER, "systemd", "XDG_RUNTIME_DIR is set", ("systemd user manager",), natural=True,
        config=name_unit, flags=("--systemd-cgroup",),
        wrapper=("env", "-u", "XDG_RUNTIME_DIR", "-u", "DBUS_SESSION_BUS_ADDRESS"),
    ),
    Host(
        "nobody on the user bus", USER, "systemd", "nobody answers at `unix:path=/nowhere`", ("connect to systemd",),
        flags=("--systemd-cgroup",), config=name_unit, wrapper=("env", "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere"),
    ),
    Host(
        "no libsystemd", ROOT, "libsystemd", "libsystemd.so.0 does not fit", ("needs libsystemd.so.0",),
        flags=("--systemd-cgroup",), config=name_unit, as_root="break_library libsystemd.so.0",
    ),
    Host(
        "no libseccomp", ROOT, "libseccomp", "libseccomp.so.2 does not fit", ("needs libseccomp.so.2",),
        config=filter_calls, as_root="break_library libseccomp.so.2",
    ),
    Host(
        "no seccomp in the kernel", ROOT, "seccomp", "without CONFIG_SECCOMP_FILTER", ("no seccomp filters",),
        config=filter_calls,
        wrapper=without(ENOSYS, "seccomp"),
    ),
]  # fmt: skip
