"""From the config's seccomp profile and labels to what `kernel.seccomp` and `kernel.lsm` take, for create and exec."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kernel.lsm import Attribute
    from .kernel.seccomp import Profile
    from .spec.process import Process
    from .spec.seccomp import Seccomp


def profile(section: "Seccomp") -> "Profile":
    """The seccomp profile, not compiled yet."""
    from .kernel.seccomp import Profile, Rule

    rules = tuple(
        Rule(
            tuple(rule.names), rule.action, rule.errno_ret,
            tuple((arg.index, arg.op, arg.value, arg.value_two or 0) for arg in rule.args),
        )
        for rule in section.syscalls
    )  # fmt: skip
    return Profile(
        section.default_action, rules, default_errno=section.default_errno_ret,
        architectures=tuple(section.architectures), flags=None if section.flags is None else tuple(section.flags),
    )  # fmt: skip


def attributes(process: "Process | None") -> "list[Attribute]":
    """The labels that the security modules are to give the program."""
    if process is None or not (process.selinux_label or process.apparmor_profile):
        return []
    from .kernel import lsm

    return lsm.exec_attributes(process.selinux_label or "", process.apparmor_profile or "")


def mount_label(label: "str | None") -> str:
    """The SELinux context of the container's mounts, "" for none. Raises ConfigError where SELinux is off."""
    if not label:
        return ""
    from .kernel import lsm

    lsm.require_selinux("/linux/mountLabel")
    return label
