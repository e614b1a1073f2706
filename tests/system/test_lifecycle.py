"""The life cycle of runtime.md: create, start, state, kill, delete, and what each refuses in which status."""

from tests.bundle import Bundle
from tests.runtime import Runtime


def test_run_returns_output_and_exit_code(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(bundle.shell("echo hello; exit 7"))
    assert (result.returncode, result.stdout) == (7, "hello\n")


def test_create_blocks_before_the_users_program(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("touch /ran; echo ran")) as container:
        assert container.status == "created"
        assert not (bundle.rootfs / "ran").exists()
        assert container.finish() == "ran\n"
        assert (bundle.rootfs / "ran").exists()
