"""AppArmor in force: a profile of the test's own, loaded into the kernel."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyrunc.kernel.process import lsm

from tests.bundle import Bundle
from tests.descriptorpaths import lend, programs_found
from tests.runtime import Runtime

PROFILE = """
profile pyrunc-test flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  signal,
  ptrace,
  deny /mnt/secret r,
}
"""
READ = "cat /proc/self/attr/apparmor/current; cat /mnt/secret 2> /dev/null || echo denied"


@pytest.fixture(scope="module", autouse=True)
def _profile() -> Iterator[None]:
    if not lsm.apparmor_enabled():
        pytest.skip("AppArmor is not enabled in this kernel")

    def parser(option: str) -> None:
        subprocess.run(["apparmor_parser", option], input=PROFILE.encode(), check=True, capture_output=True)

    parser("--replace")
    yield
    parser("--remove")


@pytest.fixture
def secret(bundle: Bundle) -> Bundle:
    Path(bundle.rootfs, "mnt/secret").write_text("secret\n")
    return bundle


def test_profile_of_the_process(runtime: Runtime, secret: Bundle) -> None:
    secret.process["apparmorProfile"] = "pyrunc-test"
    label, answer, *_ = runtime.output(secret, READ).split("\n")
    assert "pyrunc-test" in label  # Debian confines crun itself, and stacks the two
    assert answer == "denied"


@pytest.mark.parametrize("profile", ["unconfined", None])
def test_no_profile(runtime: Runtime, secret: Bundle, profile: str | None) -> None:
    if profile is not None:
        secret.process["apparmorProfile"] = profile
    label, answer, *_ = runtime.output(secret, READ).split("\n")
    assert "unconfined" in label
    assert answer == "secret"


def test_profile_that_is_not_loaded(runtime: Runtime, secret: Bundle) -> None:
    secret.process["apparmorProfile"] = "pyrunc-missing"
    runtime.create_fails(secret)


@pytest.mark.parametrize("asked", [True, False])
def test_exec(runtime: Runtime, secret: Bundle, asked: bool) -> None:
    """By its own option, or as the container's process."""
    secret.process["args"] = ["sleep", "1000"]
    if not asked:
        secret.process["apparmorProfile"] = "pyrunc-test"
    options = ["--apparmor", "pyrunc-test"] if asked else []
    with runtime.running(secret) as container:
        found = runtime.call("exec", *options, container.id, "sh", "-c", READ)
    assert "pyrunc-test" in found.stdout
    assert found.stdout.strip().endswith("denied")


def test_exec_finds_no_program_of_another_container(runtime: Runtime, make_bundle: Callable[[], Bundle]) -> None:
    attacker, victim = make_bundle(), make_bundle()
    lend(victim)
    for bundle in (attacker, victim):
        bundle.process["apparmorProfile"] = "pyrunc-test"
        bundle.process["args"] = ["sleep", "1000"]
    with runtime.running(victim) as lender, runtime.running(attacker) as container:
        assert programs_found(container, lender.pid) == []
