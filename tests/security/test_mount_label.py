"""linux.mountLabel: refused without SELinux, else given to every file system that takes a context."""

import os
from pathlib import Path

import pytest
from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel.mount import mountoptions, mounts, rootfs
from pyrunc.kernel.mount.mounts import Attached
from pyrunc.kernel.process import lsm
from pyrunc.planning import container as plan
from pyrunc.planning import security
from pyrunc.planning.facts import HostFacts
from pyrunc.spec.config import parse_config

from tests.bundle import Bundle
from tests.image import untouched
from tests.peers import differs
from tests.runtime import Runtime

LABEL = "system_u:object_r:container_file_t:s0:c1,c2"
needs_no_selinux = pytest.mark.skipif(lsm.selinux_enabled(), reason="about hosts without SELinux")


@differs(crun="ignores the label", runc="leaves the error to the kernel, which does not name the key")
@needs_no_selinux
def test_label_without_selinux_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["mountLabel"] = LABEL
    runtime.create_fails(bundle, "SELinux is not enabled", "/linux/mountLabel")


def host(*, selinux: bool) -> HostFacts:
    facts = HostFacts(0, in_userns=False)
    facts.selinux = selinux
    return facts


def test_label_of_the_config_is_what_mounts_get() -> None:
    assert security.mount_label(LABEL, host(selinux=True)) == LABEL
    assert security.mount_label(None, host(selinux=False)) == ""
    with pytest.raises(ConfigError):
        security.mount_label(LABEL, host(selinux=False))


@pytest.mark.parametrize("option", [None, "fscontext"])
def test_annotation_says_which_option_it_becomes(option: str | None) -> None:
    config = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/t", "type": "tmpfs"}],
        "linux": {"mountLabel": LABEL, "namespaces": [{"type": "mount"}]},
        "annotations": {"run.oci.mount_context_type": option} if option else {},
    }
    made = plan.build(parse_config(config), plan.CreateOptions("x", "/b"), host(selinux=True))
    assert [(mount.label, mount.label_option) for mount in made.mounts] == [(LABEL, option or "context")]


@needs_no_selinux
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("option", ["context", "fscontext", "defcontext", "rootcontext"])
def test_label_reaches_the_file_system(tmp_path: Path, option: str) -> None:
    """tmpfs knows no `context` where SELinux is off: that it refuses the word shows that it got it."""
    mount = mountoptions.Mount("", "/t", "tmpfs", mountoptions.parse(()), LABEL, label_option=option)
    with untouched(tmp_path) as image, pytest.raises(PyruncError, match=f"'{option}'"):
        image.inside(lambda root: mounts.attach(root, mount, Attached()))


@needs_no_selinux
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_label_reaches_what_hides_a_directory(tmp_path: Path) -> None:
    """As above: only what has got the word refuses it."""
    with untouched(tmp_path) as image:
        image.inside(lambda root: rootfs.mask(root, ["/data"], -1, ""))
        with pytest.raises(PyruncError, match="mask `/data`: Invalid argument"):
            image.inside(lambda root: rootfs.mask(root, ["/data"], -1, LABEL))
