"""exec: the process's surroundings, its exit status, what is refused, and that nothing stays behind."""

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundle import Bundle
from tests.cpus import on_one_cpu
from tests.peers import differs, only_pyrunc
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import Container, Result, Runtime, error_text, new_id
from tests.waiting import DEADLINE, eventually, exit_code

OWN_ERROR = 255  # crun too, but for a missing program (127) and the like


@pytest.fixture
def box(runtime: Runtime, bundle: Bundle) -> Iterator[Container]:
    """A running container that sleeps."""
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        yield container


def execute(box: Container, *words: str | Path, **popen: Any) -> Result:
    """`exec` with these words; the container's id is the word ID."""
    return box.runtime.call("exec", *(box.id if word == "ID" else word for word in words), **popen)


def output(box: Container, *words: str | Path, **popen: Any) -> str:
    """Standard output of an exec that must succeed."""
    result = execute(box, *words, **popen)
    assert result.returncode == 0, result.stderr
    return result.stdout


def shell(box: Container, script: str, *options: str | Path) -> str:
    """Standard output of a shell script in the container."""
    return output(box, *options, "ID", "sh", "-c", script)


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 254, 255])
def test_exit_status_is_the_programs(box: Container, code: int) -> None:
    assert execute(box, "ID", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [9, 11, 15])
def test_exit_status_after_a_signal(box: Container, number: int) -> None:
    assert execute(box, "ID", "sh", "-c", f"kill -{number} $$").returncode == 128 + number


def test_standard_streams_are_the_callers(box: Container) -> None:
    with subprocess.Popen(["echo", "word"], stdout=subprocess.PIPE) as source:
        result = execute(box, "ID", "sh", "-c", "cat; echo problem >&2", stdin=source.stdout)
    assert (result.stdout, result.stderr) == ("word\n", "problem\n")


def test_options_behind_the_id_belong_to_the_program(box: Container) -> None:
    assert output(box, "ID", "echo", "--tty", "-d", "--", "-e") == "--tty -d -- -e\n"


def test_all_namespaces_are_the_containers(box: Container) -> None:
    names = ("pid", "net", "mnt", "ipc", "uts", "cgroup")
    found = shell(box, f"for name in {' '.join(names)}; do readlink /proc/self/ns/$name; done").split()
    assert found == [os.readlink(f"/proc/{box.pid}/ns/{name}") for name in names]


def test_process_sees_itself_in_the_pid_namespace(box: Container) -> None:
    assert 1 < int(shell(box, "echo $$")) < 100


def test_member_of_the_containers_cgroup(box: Container) -> None:
    with box.runtime.popen("exec", box.id, "sleep", "1000") as command:
        procs = CGROUP_ROOT / box.bundle.linux["cgroupsPath"].lstrip("/") / "cgroup.procs"
        eventually(lambda: len(procs.read_text().split()) == 2, "a second process in the container's cgroup")
        command.terminate()
        assert command.wait() == 128 + signal.SIGTERM


def test_sub_cgroup(box: Container) -> None:
    below = CGROUP_ROOT / box.bundle.linux["cgroupsPath"].lstrip("/") / "part"
    below.mkdir()
    assert shell(box, "grep ^0: /proc/self/cgroup", "--cgroup", "part") == "0::/part\n"
    assert shell(box, "grep ^0: /proc/self/cgroup") == "0::/\n"
    below.rmdir()


@pytest.mark.parametrize("options", [(), ("--cgroup", "sub")])
@differs(crun="1.28 looks whether the old one is frozen")
def test_init_that_was_moved_out_of_a_cgroup_that_is_gone(
    box: Container, area: Path, options: tuple[str, ...]
) -> None:
    """Into that of init; with --cgroup it stays an error."""
    old, new = (CGROUP_ROOT / CGROUP_PARENT.lstrip("/") / name for name in (box.id, f"{box.id}-moved"))
    processes = [box.pid]
    new.mkdir()
    try:
        (new / "cgroup.procs").write_text(str(box.pid))
        eventually(lambda: not (old / "cgroup.procs").read_text(), "an empty cgroup")
        old.rmdir()
        result = execute(box, *options, "--detach", "--pid-file", area / "pid", "ID", "sleep", "1000")
        assert (result.returncode == 0) == (not options), result.stderr
        if not options:
            processes.insert(0, int((area / "pid").read_text()))
            assert f"0::{CGROUP_PARENT}/{new.name}\n" in Path(f"/proc/{processes[0]}/cgroup").read_text()
    finally:
        box.kill("KILL")
        for pid in processes:  # the first of the namespace is the last that can be waited for
            exit_code(pid)
        new.rmdir()


@differs(crun="1.8.1 has no answer to a divided cgroup")
def test_cgroup_that_the_container_has_divided(box: Container) -> None:
    """As systemd does in a container: then only the parts may hold processes, and exec follows the first process."""
    own = CGROUP_ROOT / box.bundle.linux["cgroupsPath"].lstrip("/")
    controllers = (own / "cgroup.controllers").read_text().split()
    if not controllers:
        pytest.skip("no controller is bound to cgroup v2 here")
    (own / "init").mkdir()
    (own / "init/cgroup.procs").write_text(str(box.pid))
    (own / "cgroup.subtree_control").write_text(f"+{controllers[0]}")
    assert shell(box, "grep ^0: /proc/self/cgroup") == "0::/init\n"


@differs(crun="1.8.1 has no --pidfd-socket", runc="1.1.5 has no --pidfd-socket")
def test_pidfd_socket(box: Container, area: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(area / "pidfd"))
        listener.listen()
        listener.settimeout(DEADLINE)
        options = ("--detach", "--pidfd-socket", area / "pidfd", "--pid-file", area / "pid")
        output(box, *options, "ID", "sleep", "1000")
        connection, _ = listener.accept()
        with connection:
            _, descriptors, _, _ = socket.recv_fds(connection, 64, 1)
    pid = int((area / "pid").read_text())
    assert f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{descriptors[0]}").read_text()
    signal.pidfd_send_signal(descriptors[0], signal.SIGKILL)
    os.close(descriptors[0])
    assert exit_code(pid) == -signal.SIGKILL


ELSEWHERE = [(path, "must not leave") for path in ("..", "../other", "part/../..", "./part")]


@pytest.mark.parametrize("path, words", [*ELSEWHERE, ("missing", "no such file")])
@differs(crun="1.8.1 makes the cgroup, and climbs", runc="1.1.5 cleans the path")
def test_sub_cgroup_elsewhere_is_refused(box: Container, path: str, words: str) -> None:
    result = execute(box, "--cgroup", path, "ID", "true")
    assert result.returncode == OWN_ERROR
    error_text(result, words, path)


@differs(crun="1.28 looks for a cgroup of that name", runc="1.5.3 passes over it on cgroup v2")
@pytest.mark.parametrize("path", ["cpu:part", "cpu,name=systemd:/part", "memory:"])
def test_sub_cgroup_of_a_controller_is_refused(box: Container, path: str) -> None:
    result = execute(box, "--cgroup", path, "ID", "true")
    assert result.returncode == OWN_ERROR
    error_text(result, "names controllers", path)


@differs(crun="1.8.1 looks for the program with the caller's PATH")
def test_environment(box: Container) -> None:
    # No shell between, which would make one variable of two.
    lines = output(box, "-e", "A=1", "-e", "TERM=vt100", "-e", "A=x=y", "ID", "env").splitlines()
    assert {"A=x=y", "TERM=vt100", "PATH=/usr/bin:/bin", "HOME=/root"} <= set(lines)
    assert "A=1" not in lines
    assert len(lines) == len({line.partition("=")[0] for line in lines})


@differs(crun="1.8.1 takes any text", runc="1.1.5 takes any text")
@pytest.mark.parametrize("entry", ["NAME", "", "=x"])
def test_environment_entries_are_assignments(box: Container, entry: str) -> None:
    result = execute(box, "--env", entry, "ID", "true")
    assert result.returncode == OWN_ERROR
    error_text(result, "--env")


def test_home_is_that_of_the_user(box: Container) -> None:
    assert shell(box, "echo $HOME", "--user", "1000") == "/home/user\n"


def test_variables_of_the_caller_stay_outside(box: Container) -> None:
    assert "SECRET" not in output(box, "ID", "env", env=os.environ | {"SECRET": "1"})


def test_working_directory(box: Container) -> None:
    assert output(box, "--cwd", "/tmp", "ID", "pwd") == "/tmp\n"
    assert output(box, "ID", "pwd") == "/\n"


@pytest.mark.parametrize("number", range(3, 21))
def test_working_directory_through_a_descriptor_is_refused(box: Container, number: int) -> None:
    """CVE-2024-21626: a directory of the host that is open in the caller, or in the runtime."""
    opened = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(opened, True)
    try:
        result = execute(box, "--cwd", f"/proc/self/fd/{number}", "ID", "pwd", close_fds=False)
    finally:
        os.close(opened)
    assert result.returncode != 0
    assert result.stdout == ""


@pytest.mark.parametrize("cwd", ["relative", "/missing", "/etc/passwd"])
@differs(crun="1.8.1 makes a missing one", runc="1.1.5 says it in several lines")
def test_working_directory_that_is_none(box: Container, cwd: str) -> None:
    result = execute(box, "--cwd", cwd, "ID", "true")
    assert result.returncode == OWN_ERROR
    error_text(result, cwd)
    assert not (box.bundle.rootfs / "missing").exists()


@differs(crun="1.8.1 has other statuses")
@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nothing-of-this-name", "executable file"),
        ("/bin/nothing", "no such file or directory"),
        ("/etc", ""),
        ("/etc/passwd", "permission denied"),
    ],
)
def test_program_that_cannot_run(box: Container, area: Path, program: str, words: str) -> None:
    pid_file = area / "pid"
    result = execute(box, "--pid-file", pid_file, "ID", program)
    assert result.returncode == OWN_ERROR
    error_text(result, words, program)
    assert not list(area.glob("*pid*"))


@differs(crun="1.8.1 leaves it there", runc="1.1.5 leaves it there")
@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_pid_file_goes_with_a_program_that_the_kernel_refuses(
    box: Container, area: Path, options: tuple[str, ...]
) -> None:
    """By the execve, when the file is written already."""
    script = box.bundle.rootfs / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert execute(box, *options, "--pid-file", area / "pid", "ID", "/script").returncode != 0
    assert not list(area.glob("*pid*"))


def test_program_that_cannot_run_detached(box: Container, area: Path) -> None:
    result = execute(box, "--detach", "--pid-file", area / "pid", "ID", "nothing-of-this-name")
    error_text(result, "executable file")
    assert not list(area.glob("*pid*"))


@only_pyrunc("names no place, or another")
def test_error_names_the_option_the_file_or_the_configuration(box: Container, area: Path) -> None:
    label = "system_u:system_r:container_t"
    error_text(execute(box, "--cwd", "relative", "ID", "true"), "(--cwd)")
    error_text(execute(box, "--process-label", label, "ID", "true"), "(--process-label)")
    file = area / "process.json"
    file.write_text(json.dumps({"cwd": "relative", "args": ["true"]}))
    error_text(execute(box, "--process", file, "ID"), f"({file}: /cwd)")
    file.write_text(json.dumps({"cwd": "/", "args": ["true"], "selinuxLabel": label}))
    error_text(execute(box, "--process", file, "ID"), f"({file}: /selinuxLabel)")


@only_pyrunc("others leave the program running, or do not say so")
def test_pid_file_that_cannot_be_written(box: Container, area: Path) -> None:
    result = execute(box, "--detach", "--pid-file", area / "none/pid", "ID", "sh", "-c", "echo > /ran; sleep 1000")
    assert result.returncode == OWN_ERROR
    error_text(result, "write the pid file")  # and nothing of the process that was there to run it
    assert not (box.bundle.rootfs / "ran").exists()


@differs(crun="1.8.1 has no process file for this", runc="1.1.5 panics on some")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cwd": "/"}', '{"args": ["true"]}', '{"args": [], "cwd": "/"}'])
def test_process_file_that_is_none(box: Container, area: Path, text: str) -> None:
    (area / "process").write_text(text)
    result = execute(box, "--process", area / "process", "ID")
    assert result.returncode == OWN_ERROR
    error_text(result)


@pytest.mark.parametrize("way", ["<(cat {})", "/dev/stdin < {}", "/dev/stdin < <(cat {})", "/dev/fd/7 7< {}"])
def test_process_from_a_pipe(box: Container, area: Path, way: str) -> None:
    process = box.bundle.process | {"args": ["echo", "it"]}
    (area / "process").write_text(json.dumps(process))
    words = [way.format(area / "process") if word == "WAY" else shlex.quote(word)
             for word in box.runtime.argv("exec", "--process", "WAY", box.id)]  # fmt: skip
    command = ["bash", "-c", " ".join(words)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert result.stdout == "it\n", result.stderr


@differs(runc="1.1.5 keeps the umask")
def test_process_file(box: Container, area: Path) -> None:
    process = box.bundle.process | {
        "args": ["sh", "-c", "id -u; id -g; id -G; pwd; echo $A; umask; ulimit -n"],
        "user": {"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o77},
        "cwd": "/tmp",
        "env": ["PATH=/bin", "A=b"],
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
    }
    (area / "process").write_text(json.dumps(process))
    found = output(box, "--process", area / "process", "ID").splitlines()
    assert found == ["5", "6", "6 7 8", "/tmp", "b", "0077", "100"]


@differs(crun="1.8.1 keeps the caller's limits")
def test_limits_are_the_containers(box: Container) -> None:
    assert shell(box, "ulimit -n; ulimit -H -n").split() == ["1024", "1024"]


@differs(crun="1.8.1 leaves it alone", runc="1.1.5 leaves it alone")
def test_oom_score(box: Container, area: Path) -> None:
    process = box.bundle.process | {"args": ["cat", "/proc/self/oom_score_adj"], "oomScoreAdj": 321}
    (area / "process").write_text(json.dumps(process))
    assert output(box, "--process", area / "process", "ID") == "321\n"


def test_cpu_affinity(box: Container, area: Path) -> None:
    def allowed(affinity: dict[str, str]) -> str:
        process = box.bundle.process | {"args": ["grep", "Cpus_allowed_list", "/proc/self/status"]}
        (area / "process").write_text(json.dumps(process | {"execCPUAffinity": affinity}))
        return output(box, "--process", area / "process", "ID").split()[1]

    first, *_, last = map(str, sorted(os.sched_getaffinity(0)))
    with on_one_cpu() as (ours, all_cpus):
        assert allowed({}) == all_cpus
        assert allowed({"initial": ours}) == ours
        assert allowed({"initial": first, "final": last}) == last
        assert allowed({"final": last}) == last


@differs(crun="1.28 leaves them as they are", runc="says what it says of any process that does not start")
@pytest.mark.parametrize("key", ["initial", "final"])
def test_cpu_affinity_to_cpus_that_are_not_there(box: Container, area: Path, key: str) -> None:
    process = box.bundle.process | {"args": ["true"], "execCPUAffinity": {key: "1000"}}
    (area / "process").write_text(json.dumps(process))
    result = execute(box, "--process", area / "process", "ID")
    assert f"{area / 'process'}: /execCPUAffinity/{key}" in error_text(result, "run on these CPUs")


def test_created_container(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        assert output(container, "ID", "hostname") == "container\n"


def test_stopped_container(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        container.finish()
        result = execute(container, "ID", "true")
        assert result.returncode != 0
        error_text(result)


@differs(crun="1.8.1 says that a file is missing")
def test_container_that_does_not_exist(runtime: Runtime) -> None:
    error_text(runtime.call("exec", new_id(), "true"), "does not exist")


def test_no_program(box: Container) -> None:
    error_text(execute(box, "ID"))


@differs(crun="1.8.1 waits")
def test_paused_container(runtime: Runtime, box: Container) -> None:
    assert runtime.call("pause", box.id).returncode == 0
    error_text(execute(box, "ID", "true"), "paused")
    procs = CGROUP_ROOT / box.bundle.linux["cgroupsPath"].lstrip("/") / "cgroup.procs"
    before = len(procs.read_text().split())
    with runtime.popen("exec", "--ignore-paused", box.id, "sh", "-c", "exit 9") as command:
        eventually(lambda: len(procs.read_text().split()) > before, "a process that waits in the paused container")
        assert runtime.call("resume", box.id).returncode == 0
        assert command.wait() == 9


def test_detached(box: Container, area: Path) -> None:
    result = execute(box, "--detach", "--pid-file", area / "pid", "ID", "sh", "-c", "kill -STOP $$; exit 3")
    assert result.returncode == 0, result.stderr
    pid = int((area / "pid").read_text())
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{box.pid}/ns/pid")
    eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "its stop")
    os.kill(pid, signal.SIGCONT)
    assert exit_code(pid) == 3


def test_pid_file_in_the_foreground(box: Container, area: Path) -> None:
    with box.runtime.popen("exec", "--pid-file", area / "pid", box.id, "sleep", "1000") as command:
        pid = int(eventually(lambda: (area / "pid").exists() and (area / "pid").read_text(), "the pid file"))
        # The file is there before the program is: who is killed before it has never run it.
        eventually(lambda: "sleep" in Path(f"/proc/{pid}/cmdline").read_text(), "the program")
        os.kill(pid, signal.SIGKILL)
        assert command.wait() == 128 + signal.SIGKILL


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "TERM"])
def test_signals_are_passed_on(box: Container, name: str) -> None:
    script = f"trap 'exit 77' {name}; echo ready; while :; do sleep 0.01; done"
    with box.runtime.popen("exec", box.id, "sh", "-c", script, stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"ready\n"
        command.send_signal(signal.Signals[f"SIG{name}"])
        assert command.wait() == 77


def test_end_of_the_container_ends_the_program(box: Container) -> None:
    with box.runtime.popen("exec", box.id, "sh", "-c", "echo ready; sleep 1000", stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"ready\n"
        box.kill()
        assert command.wait() == 128 + signal.SIGKILL
