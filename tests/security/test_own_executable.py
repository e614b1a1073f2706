"""CVE-2019-5736: a container must not be able to write to the runtime's executable, interpreter or helper.

The attempts open files for writing and never write, so that a runtime that fails here is left whole.
"""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.runtime import COMMAND_DEADLINE, Runtime, new_id
from tests.waiting import comes_true, eventually, exit_code

F_GET_SEALS = 1034
F_SEAL_WRITE = 0x8
POWER = ["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_SYS_ADMIN"]

# A sealed memfd can be opened for writing, but not written: only there does the attack write.
# Keeps /proc/PID/exe of each foreign program open while that runs, and tries to open it for writing afterwards.
ATTACK = r"""
attack() {
    exec 9<$1/exe || exit
    name=$(readlink /proc/self/fd/9)
    case "$name" in *busybox*) exit ;; esac
    echo "seen $name"
    for attempt in 1 2 3 4 5; do
        (exec 8<>/proc/self/fd/9 || exit
            case "$name" in *memfd:*) echo x >&8 || exit ;; esac
            echo "WRITABLE $name")
        sleep 0.1
    done
}
echo ready
while :; do
    for process in /proc/[0-9]*; do
        case "$(readlink $process/exe)" in
            ''|*busybox*) ;;
            *) (attack $process) & ;;
        esac
    done
    sleep 0.01
done 2>/dev/null
"""


def program_files(runtime: Runtime) -> list[Path]:
    """The runtime's executable and, when that is a script, its interpreter."""
    files = [runtime.path.resolve()]
    with files[0].open("rb") as file:
        first = file.readline(200)
    if first.startswith(b"#!"):
        files.append(Path(os.fsdecode(first[2:].split()[0])).resolve())
    return files


@pytest.fixture(autouse=True)
def program_unchanged(runtime: Runtime) -> Iterator[None]:
    """The runtime's files are the same after each test."""

    def digests() -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in program_files(runtime)]

    before = digests()
    yield
    assert digests() == before


def sealed_or_read_only(path: str) -> bool:
    """Whether an executable is a memfd sealed against writing or lies on a read-only mount."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            return bool(fcntl.fcntl(descriptor, F_GET_SEALS) & F_SEAL_WRITE)
        except OSError:  # EINVAL: no memfd
            return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
    finally:
        os.close(descriptor)


def test_waiting_process_has_an_executable_that_cannot_be_written(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        assert sealed_or_read_only(f"/proc/{container.pid}/exe")


@pytest.mark.parametrize("attached", ["created", "run"])
def test_attack_from_a_shared_pid_namespace(runtime: Runtime, make_bundle: Callable[[], Bundle], attached: str) -> None:
    attacker_bundle = make_bundle().shell(ATTACK).all_sets(*POWER)
    with runtime.running(attacker_bundle) as attacker:
        eventually(lambda: "ready" in attacker.output(), "the attack to begin")
        victim = make_bundle().namespace("pid", f"/proc/{attacker.pid}/ns/pid")
        if attached == "created":
            with runtime.created(victim) as container:
                comes_true(lambda: "seen" in attacker.output(), deadline=2)  # never, where it may not even look
                pid = container.pid
                container.start()
                # The attacker is init of the pid namespace: it cannot end before all in there are reaped.
                assert exit_code(pid) == 0
        else:
            for _ in range(10):
                assert runtime.run(victim).returncode == 0
        eventually(lambda: _attempts_are_over(attacker.pid), "the last attempts")
        assert "WRITABLE" not in attacker.output()


def _attempts_are_over(pid: int) -> bool:
    """Whether the attacker has no subshell left that holds a foreign executable open."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if os.path.lexists(f"/proc/{child}/fd/9"):
                return False
        except OSError:
            continue
    return True


@pytest.mark.parametrize("how", ["direct", "symlink", "interpreter"])
def test_container_that_runs_proc_self_exe(runtime: Runtime, bundle: Bundle, how: str) -> None:
    program = "/proc/self/exe"
    if how == "symlink":
        (bundle.rootfs / "bin/program").symlink_to(program)
        program = "/bin/program"
    elif how == "interpreter":
        (bundle.rootfs / "bin/program").write_text(f"#!{program}\n")
        (bundle.rootfs / "bin/program").chmod(0o755)
        program = "/bin/program"
    bundle.all_sets(*POWER).process["args"] = [program, "-c", "print('the interpreter runs')"]
    result = runtime.run(bundle)
    assert "the interpreter runs" not in result.stdout


def test_executable_memory_is_forbidden(runtime: Runtime, bundle: Bundle) -> None:
    """vm.memfd_noexec=2 (Linux 6.3): the container starts all the same, from what it cannot write to."""
    if not Path("/proc/sys/vm/memfd_noexec").exists():
        pytest.skip("needs vm.memfd_noexec (Linux 6.3)")
    container_id = new_id()
    bundle.shell("echo started").save(container_id)
    forbid = 'echo 2 >/proc/sys/vm/memfd_noexec && exec "$@"'  # for a pid namespace, and those below
    words = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", forbid, "sh"]
    words += runtime.argv("run", "--bundle", bundle.path, container_id)
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_DEADLINE)
    assert (result.returncode, result.stdout, result.stderr) == (0, "started\n", "")
