"""From the config's seccomp profile and labels to what `seccomp` and `lsm` take, for create and exec."""

from pyrunc.spec import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.process.lsm import Attribute
    from pyrunc.kernel.seccomp import Filter, Profile
    from pyrunc.spec.config import Config
    from pyrunc.spec.process import Process


def profile(config: "Config") -> "Profile | None":
    """The seccomp profile, not compiled yet; None without one, or if `ready_filter` takes its place."""
    section = config.linux.seccomp
    if section is None or annotations.SECCOMP_BPF in config.annotations:
        return None
    from pyrunc.kernel.seccomp import Profile, Rule

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
        strict=annotations.SECCOMP_STRICT in config.annotations,
    )  # fmt: skip


def listener(config: "Config") -> "tuple[str | None, str | None] | None":
    """The socket of the agent that the filter notifies, and what else it is told; None without a profile."""
    section = config.linux.seccomp
    return None if section is None else (section.listener_path, section.listener_metadata)


def ready_filter(config: "Config") -> "Filter | None":
    """The seccomp filter that an annotation holds, compiled; None if there is none."""
    text = config.annotations.get(annotations.SECCOMP_BPF)
    if text is None:
        return None
    from pyrunc.kernel.seccomp import Filter

    return Filter(annotations.seccomp_instructions(text), 0, [])


def attributes(process: "Process | None") -> "list[Attribute]":
    """The labels that the security modules are to give the program."""
    if process is None or not (process.selinux_label or process.apparmor_profile):
        return []
    from pyrunc.kernel.process import lsm

    return lsm.exec_attributes(process.selinux_label or "", process.apparmor_profile or "")


def mount_label(label: "str | None") -> str:
    """The SELinux context of the container's mounts, "" for none. Raises ConfigError where SELinux is off."""
    if not label:
        return ""
    from pyrunc.kernel.process import lsm

    lsm.require_selinux("/linux/mountLabel")
    return label
