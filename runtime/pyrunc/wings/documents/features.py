"""pyrunc features: what this runtime supports (runtime-spec features.md, features-linux.md).

Constant for one build: it asks neither the kernel nor for privilege.
"""

from pyrunc import SPEC_VERSION, __version__, words
from pyrunc.arguments import Arguments, Verb
from pyrunc.context import Context, print_out
from pyrunc.kernel.mount import mountoptions
from pyrunc.spec import seccomp
from pyrunc.spec.annotations import PREFIX
from pyrunc.spec.config import HOOKS

VERB = Verb("print what this runtime supports, as JSON")


def run(_: Context, __: Arguments) -> int:
    """Print it."""
    import json

    print_out(json.dumps(value(), indent="\t") + "\n")
    return 0


def value() -> "dict[str, object]":
    """The features structure."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(HOOKS),
        "mountOptions": list(mountoptions.KNOWN),
        "linux": {
            "namespaces": sorted(words.NAMESPACES),
            "capabilities": list(words.CAPABILITIES),
            "cgroup": {"v1": False, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(words.SECCOMP_ACTIONS),
                "operators": sorted(words.SECCOMP_OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": sorted(words.SECCOMP_FLAGS),
                "supportedFlags": sorted(words.SECCOMP_FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": {"modes": sorted(words.MEMORY_POLICY_MODES), "flags": sorted(words.MEMORY_POLICY_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {f"{PREFIX}pyrunc.version": __version__},  # org.opencontainers is the specification's
        "potentiallyUnsafeConfigAnnotations": ["org.systemd.property.", "org.criu.config", PREFIX],
    }
