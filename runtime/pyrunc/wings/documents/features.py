"""pyrunc features: what this runtime supports (runtime-spec features.md, features-linux.md).

Constant for one build: it asks neither the kernel nor for privilege.
"""

from pyrunc import SPEC_VERSION, __version__
from pyrunc.arguments import Arguments, Verb
from pyrunc.context import Context, print_out
from pyrunc.kernel import namespaces
from pyrunc.kernel.mount import mountoptions
from pyrunc.kernel.process import capabilities
from pyrunc.spec import seccomp
from pyrunc.spec.annotations import PREFIX
from pyrunc.spec.config import HOOKS
from pyrunc.spec.linux import MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES

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
            "namespaces": sorted(namespaces.FLAGS),
            "capabilities": list(capabilities.NAMES),
            "cgroup": {"v1": False, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": {"modes": sorted(MEMORY_POLICY_MODES), "flags": sorted(MEMORY_POLICY_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {f"{PREFIX}pyrunc.version": __version__},  # org.opencontainers is the specification's
        "potentiallyUnsafeConfigAnnotations": ["org.systemd.property.", "org.criu.config", PREFIX],
    }
