"""From the config's seccomp profile and labels to what `seccomp` and `lsm` take, for create and exec."""

from pyrunc.errors import ConfigError
from pyrunc.spec import annotations

from .frozen import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.process.lsm import Attribute
    from pyrunc.spec.config import Config
    from pyrunc.spec.process import Process
    from pyrunc.spec.seccomp import Seccomp
    from pyrunc.wings.seccomp.filters import Filter

    from .facts import ProcessFacts


def profile(config: "Config") -> "Seccomp | None":
    """The seccomp profile, not compiled yet; None without one, or if `ready_filter` takes its place."""
    return None if annotations.SECCOMP_BPF in config.annotations else config.linux.seccomp


def listener(config: "Config") -> "tuple[str | None, str | None] | None":
    """The socket of the agent that the filter notifies, and what else it is told; None without a profile."""
    section = config.linux.seccomp
    return None if section is None else (section.listener_path, section.listener_metadata)


def ready_filter(config: "Config") -> "Filter | None":
    """The seccomp filter that an annotation holds, compiled; None if there is none."""
    text = config.annotations.get(annotations.SECCOMP_BPF)
    if text is None:
        return None
    from pyrunc.wings.seccomp.filters import Filter

    return freeze(Filter(annotations.seccomp_instructions(text), 0, ()))


def attributes(process: "Process", host: "ProcessFacts") -> "tuple[Attribute, ...]":
    """The labels that the security modules are to give the program. Raises ConfigError if a module is off or has no
    such profile."""
    if not (process.selinux_label or process.apparmor_profile):
        return ()
    from pyrunc.kernel.process import lsm

    if process.selinux_label:
        _require_selinux(host, "/process/selinuxLabel")
    profile_ = process.apparmor_profile or ""
    if profile_ == lsm.UNCONFINED and host.apparmor is None:
        profile_ = ""  # there is nothing to write
    elif profile_:
        _require_profile(host.apparmor, profile_)
    return tuple(map(freeze, lsm.exec_attributes(process.selinux_label or "", profile_)))


def _require_profile(loaded: "frozenset[str] | None", profile_: str) -> None:
    """Said here because the kernel's word for a profile that is not loaded is ENOENT, which callers take for a missing
    program."""
    pointer = "/process/apparmorProfile"
    if loaded is None:
        text = f"AppArmor is not enabled here, but profile `{profile_}` is given"
        raise ConfigError(text, pointer=pointer, check="security-modules")
    # Names of other namespaces (:NS:NAME) and stacked ones (A//&B) are not in the list, and `unconfined` is no profile.
    plain = not profile_.startswith(":") and "//" not in profile_ and profile_ != "unconfined"
    if loaded and plain and profile_ not in loaded:
        text = f"AppArmor profile `{profile_}` is not loaded"
        raise ConfigError(text, pointer=pointer, hint="apparmor_parser loads profiles")


def mount_label(label: "str | None", host: "ProcessFacts") -> str:
    """The SELinux context of the container's mounts, "" for none. Raises ConfigError where SELinux is off."""
    if label:
        _require_selinux(host, "/linux/mountLabel")
    return label or ""


def _require_selinux(host: "ProcessFacts", pointer: str) -> None:
    if not host.selinux:
        text = "an SELinux label is given, but SELinux is not enabled here"
        raise ConfigError(text, pointer=pointer, check="security-modules")
