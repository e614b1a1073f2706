"""Options of the command line as callers spell them, and those whose effect no other test shows."""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text, new_id, runtime_name
from tests.waiting import DEADLINE, eventually, exit_code


@pytest.mark.parametrize("form", ["{}={}", "{} {}"])
def test_both_spellings_of_an_option_with_a_value(runtime: Runtime, area: Path, form: str) -> None:
    log = area / "log"
    words = [*form.format("--log", log).split(), *form.format("--log-format", "json").split()]
    error_text(runtime.call(*words, "state", new_id()))
    assert json.loads(log.read_text())["level"] == "error"


@differs(crun="1.8.1 takes as much of a name as tells it from others")
def test_names_of_options_are_not_abbreviated(runtime: Runtime, bundle: Bundle) -> None:
    bundle.save("x")
    error_text(runtime.call("create", "--bund", bundle.path, new_id()))


@differs(runc="1.5.3 takes each option as a word of its own")
def test_short_options_may_be_joined(runtime: Runtime, bundle: Bundle) -> None:
    bundle.shell("exec sleep 1000").save(container_id := new_id())
    assert runtime.call("run", f"-db{bundle.path}", container_id).returncode == 0
    try:
        assert json.loads(runtime.call("list", "-fjson").stdout)[0]["id"] == container_id
        assert "C=D" in runtime.call("exec", "-u0", "-eC=D", container_id, "env").stdout
    finally:
        assert runtime.call("delete", "-f", container_id).returncode == 0


@only_pyrunc("the texts are theirs")
@pytest.mark.parametrize(
    "words, said",
    [
        ("list -qx", "unknown flag `-qx`"),
        ("list --qf", "unknown flag `--qf`"),
        ("list -qf", "needs an argument: -format"),
        ("create -b", "needs an argument: -bundle"),
    ],
)
def test_joined_options_that_are_none(runtime: Runtime, words: str, said: str) -> None:
    error_text(runtime.call(*words.split()), said)


def test_two_dashes_end_the_options(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        assert json.loads(runtime.call("state", "--", container.id).stdout)["id"] == container.id


def test_log_is_appended_to(runtime: Runtime, area: Path) -> None:
    log = area / "log"
    for _ in range(2):
        runtime.call("--log", log, "state", new_id())
    assert len(log.read_text().splitlines()) == 2


@only_pyrunc("runc 1.1.5 has no levels, crun 1.8.1 does not warn of what this config has")
@pytest.mark.parametrize(
    "words, warned",
    [
        ([], True),
        (["--log-level", "warning"], True),
        (["--log-level", "warn"], True),
        (["--log-level=info"], True),
        (["--log-level=error"], False),
        (["--debug"], True),
    ],
)
def test_log_level(runtime: Runtime, bundle: Bundle, words: list[str], warned: bool) -> None:
    bundle.all_sets("CAP_NOBODY_KNOWS")
    bundle.save("x")
    result = runtime.call(*words, "run", "--bundle", bundle.path, new_id())
    assert result.returncode == 0
    assert ("CAP_NOBODY_KNOWS" in result.stderr) == warned


@only_pyrunc("each peer has only some of them")
@pytest.mark.parametrize("words", ["--rootless auto", "--rootless=false", "--criu /usr/sbin/criu"])
def test_options_of_the_peers_that_change_nothing(runtime: Runtime, words: str) -> None:
    assert runtime.call(*words.split(), "features").returncode == 0


@only_pyrunc("each peer has only some of them")
@pytest.mark.parametrize("words", ["--log-level nonsense", "--cgroup-manager nonsense", "--log-format nonsense"])
def test_unknown_word_for_a_global_option(runtime: Runtime, bundle: Bundle, words: str) -> None:
    bundle.save("x")
    assert "nonsense" in error_text(runtime.call(*words.split(), "create", "--bundle", bundle.path, new_id()))


@only_pyrunc("writes a line for the warning, too")
def test_log_of_a_failure_is_one_object_in_spite_of_warnings(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.all_sets("CAP_NOBODY_KNOWS").process["args"] = ["/no/such/program"]
    bundle.save("x")
    log = area / "log"
    words = ("--log", log, "--log-format", "json", "create", "--bundle", bundle.path, new_id())
    error_text(runtime.call(*words))
    assert json.loads(log.read_text())["level"] == "error"


@only_pyrunc("waits for a reader (runc 1.5.3), or opens it for reading, too (crun 1.28)")
def test_log_that_is_a_fifo_which_nobody_reads(runtime: Runtime, area: Path) -> None:
    os.mkfifo(area / "log")
    error_text(runtime.call("--log", area / "log", "state", new_id(), timeout=10), "open the log")
    with open(area / "log", "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as log:
        runtime.call("--log", area / "log", "state", new_id())
        assert b"does not exist" in log.read()


@pytest.mark.parametrize("verb", ["create", "run", "kill", "delete"])
def test_log_that_cannot_be_opened_fails_before_anything_is_done(
    runtime: Runtime, bundle: Bundle, area: Path, verb: str
) -> None:
    container_id = new_id()
    bundle.shell("echo ran").save(container_id)
    words = ["--bundle", bundle.path] if verb in ("create", "run") else ["--force"] if verb == "delete" else []
    result = runtime.call("--log", area / "no/such/log", verb, *words, container_id)
    error_text(result, "no/such/log", "no such file")
    assert "ran" not in result.stdout
    error_text(runtime.state(container_id))


@differs(runc="1.5.3 writes a file of this name")
def test_log_to_journald(runtime: Runtime, area: Path) -> None:
    """conmon-rs gives it to a runtime that has crun's name."""
    path = Path("/run/systemd/journal/socket")
    path.parent.mkdir(parents=True)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.settimeout(DEADLINE)
            journal.bind(str(path))
            error_text(runtime.call("--log", "journald:name", "state", "nobody", cwd=area))
            fields = journal.recv(9000).decode().splitlines()
        assert [field for field in fields if field.startswith("MESSAGE=") and "does not exist" in field]
        if runtime_name() == "pyrunc":
            assert {"ID=name", "PRIORITY=3", "SYSLOG_IDENTIFIER=pyrunc"} < set(fields)
            error_text(runtime.call("--log", "journald:name", "list"), "connect to the socket of journald", str(path))
    finally:
        shutil.rmtree("/run/systemd")
    assert not (area / "journald:name").exists()


@differs(runc="has no such option")
def test_config_of_another_name(runtime: Runtime, bundle: Bundle) -> None:
    bundle.shell("echo it").save("x")
    other = (bundle.path / "config.json").rename(bundle.path / "other.json")
    result = runtime.call("run", "--bundle", bundle.path, "--config", other, new_id())
    assert (result.returncode, result.stdout) == (0, "it\n"), result.stderr


def test_root_without_pivot(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(bundle.shell("echo /*; ls -d /proc/1/root/bin"), "--no-pivot")
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.split()) == sorted(
        [*(f"/{path.name}" for path in bundle.rootfs.iterdir()), "/proc/1/root/bin"]
    )


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("options, works", [((), False), (("--no-pivot",), True)])
def test_pivot_root_is_used_unless_told_otherwise(
    runtime: Runtime, bundle: Bundle, options: tuple[str, ...], works: bool
) -> None:
    """As on an initramfs, where the kernel refuses it (pivot_root(2), EINVAL)."""
    call = "pivot_root"
    broken = runtime.behind("strace", "-f", "-o/dev/null", f"-etrace={call}", f"-einject={call}:error=EINVAL", "--")
    assert (broken.run(bundle, *options).returncode == 0) == works


def test_no_subreaper_is_accepted(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.run(bundle, "--no-subreaper").returncode == 0


def test_kill_all_of_a_stopped_container_is_no_error(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        container.finish()
        assert runtime.call("kill", "--all", container.id).returncode == 0


@differs(runc="has no such option")
def test_cgroup_manager_disabled_leaves_the_callers_cgroup(runtime: Runtime, bundle: Bundle) -> None:
    bundle.shell("cat /proc/self/cgroup").share("cgroup").save("x")
    result = runtime.call("--cgroup-manager", "disabled", "run", "--bundle", bundle.path, new_id())
    assert result.returncode == 0, result.stderr
    assert result.stdout == Path("/proc/self/cgroup").read_text()


@only_pyrunc("does it without a cgroup, or says it in its own way")
@pytest.mark.parametrize("command", ["pause", "ps", "events", "update"])
def test_without_a_cgroup_the_error_says_how_it_comes(runtime: Runtime, bundle: Bundle, command: str) -> None:
    runtime.flags += ["--cgroup-manager", "disabled"]
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        error_text(runtime.call(command, container.id), "no cgroup of its own", "pyrunc doctor cgroups")


@only_pyrunc("runc has no such option, crun 1.8.1 leaves the limits out")
def test_limits_that_nobody_would_set_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 7}}
    runtime.flags += ["--cgroup-manager", "disabled"]
    runtime.create_fails(bundle, "--cgroup-manager disabled", "/linux/resources/pids/limit")


@only_pyrunc("the texts are theirs")
@pytest.mark.parametrize("words", ["mounts add x y", "--systemd-log list"])
def test_what_only_one_peer_has_is_refused_as_unknown(runtime: Runtime, words: str) -> None:
    error_text(runtime.call(*words.split()), "unknown")


@differs(runc="1.5.3 has no such option")
def test_regular_expression_for_an_id(runtime: Runtime, make_bundle: Callable[[], Bundle]) -> None:
    with contextlib.ExitStack() as stack:
        bundles = [make_bundle().shell("trap 'exit 3' TERM; echo; while :; do sleep .1; done") for _ in range(3)]
        first, second, third = (stack.enter_context(runtime.running(bundle)) for bundle in bundles)
        eventually(lambda: first.output() and second.output(), "the traps")
        pids = [first.pid, second.pid]
        pattern = f"^({first.id}|{second.id})$"
        assert runtime.call("kill", "--regex", pattern, "TERM").returncode == 0
        assert [exit_code(pid) for pid in pids] == [3, 3]
        assert runtime.call("delete", "-r", pattern).returncode == 0
        assert [entry["id"] for entry in runtime.list_json()] == [third.id]
        assert runtime.call("delete", "--regex", "^no-such").returncode == 0
        assert runtime.call("delete", "--regex", "--force", third.id[:-1]).returncode == 0
        assert runtime.list_json() == []


@only_pyrunc("1.28 says 0, dies of a pattern that is none")
def test_regular_expression_that_is_refused_or_fails_for_some(
    runtime: Runtime, make_bundle: Callable[[], Bundle]
) -> None:
    long = make_bundle().shell("exec sleep 1000")
    with runtime.running(long) as container, runtime.created(make_bundle()) as other:
        error_text(runtime.call("kill", "-r", "("), "not a regular expression")
        message = error_text(runtime.call("delete", "-r", "."), f"`{container.id}`", "not stopped: running")
        assert other.id not in message
        error_text(runtime.state(other.id), "does not exist")


@differs(runc="1.5.3 has no such option")
@pytest.mark.parametrize("absolute", [True, False])
def test_spec_into_another_file(runtime: Runtime, bundle: Bundle, absolute: bool) -> None:
    other = bundle.path / "other.json"
    assert runtime.call("spec", "-b", bundle.path, "--file", other if absolute else other.name).returncode == 0
    assert json.loads(other.read_text())["process"]["args"] == ["sh"]
    assert not (bundle.path / "config.json").exists()


@differs(crun="1.8.1 leaves the mappings to itself")
def test_spec_for_an_ordinary_user(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "config.json").unlink(missing_ok=True)
    assert runtime.call("spec", "--rootless", "--bundle", bundle.path).returncode == 0
    linux = json.loads((bundle.path / "config.json").read_text())["linux"]
    assert "user" in [entry["type"] for entry in linux["namespaces"]]
    assert [entry["size"] for entry in linux["uidMappings"] + linux["gidMappings"]] == [1, 1]
