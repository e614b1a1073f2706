"""Hooks of config.md: when, where and in which order they run, what they get, and what their failure does."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.bundle import PID_OF_STATE, Bundle, Json
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, caller_environment, error_text, new_id
from tests.waiting import eventually, exit_code

AT_CREATE = ("prestart", "createRuntime", "createContainer")
PLACES = (*AT_CREATE, "startContainer", "poststart", "poststop")


def append(bundle: Bundle, place: str, word: str) -> None:
    """Add a hook that appends a word to the file 'order' in the container's root directory."""
    target = "/order" if place == "startContainer" else bundle.rootfs / "order"
    bundle.hook(place, f"echo {word} >> {target}")


def order(bundle: Bundle) -> list[str]:
    """The words that hooks and the user's program have written so far."""
    path = bundle.rootfs / "order"
    return path.read_text().split() if path.exists() else []


POSTSTART_EARLY = "1.1.5 runs poststart before the user's program is started"


@differs(runc=POSTSTART_EARLY, crun="poststart hooks do not wait for the startContainer hooks")
def test_order(runtime: Runtime, bundle: Bundle) -> None:
    for place in PLACES:
        for number in (1, 2):
            append(bundle, place, f"{place}{number}")
    expected = [f"{place}{number}" for place in PLACES for number in (1, 2)]
    with runtime.created(bundle.shell("echo program >> /order; exec sleep 1000")) as container:
        assert order(bundle) == expected[:6]
        container.start()
        eventually(lambda: "program" in order(bundle), "the user's program")
        assert [word for word in order(bundle) if word != "program"] == expected[:10]
    assert [word for word in order(bundle) if word != "program"] == expected


@differs(runc=POSTSTART_EARLY)
def test_poststart_runs_after_the_users_program_has_started(runtime: Runtime, bundle: Bundle) -> None:
    pid_file = bundle.path / "pid"
    bundle.hook("poststart", f"tr '\\0' ' ' < /proc/$(cat {pid_file})/cmdline > {bundle.path}/seen")
    bundle.process["args"] = ["sleep", "1000"]
    with runtime.running(bundle, "--pid-file", pid_file):
        assert (bundle.path / "seen").read_text().strip() == "sleep 1000"


STATE_DIFFERS = {
    "createContainer": differs(crun="1.8.1 gives pid 0 to createContainer hooks"),
    "startContainer": differs(crun="1.8.1 gives the bundle / to startContainer hooks"),
}


@pytest.mark.parametrize("place", [pytest.param(place, marks=STATE_DIFFERS.get(place, ())) for place in PLACES])
def test_hook_reads_the_state_from_stdin(runtime: Runtime, bundle: Bundle, place: str) -> None:
    bundle.config["annotations"] = {"org.example/a": "1"}
    target = "/seen" if place == "startContainer" else bundle.rootfs / "seen"
    bundle.hook(place, f"cat > {target}", drain=False)
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        eventually(lambda: container.status == "running", "the container to run")
        pid = container.pid
    state: Json = json.loads((bundle.rootfs / "seen").read_text())
    assert state["id"] == container.id
    assert state["ociVersion"]
    assert state["bundle"] == str(bundle.path)
    assert state["annotations"]["org.example/a"] == "1"
    if place == "poststop":
        assert state.get("pid", 0) == 0
    elif place in ("startContainer", "createContainer"):
        assert state["pid"] in (pid, 1)
    else:
        assert state["pid"] == pid


# The specification has `creating` for step 2 of the life cycle, and these hooks are steps 3 to 5.
RUNC_CREATING = differs(runc="1.1.5 says `creating` to the hooks in create")
STATUS = [
    pytest.param("prestart", ("created",), marks=RUNC_CREATING),
    pytest.param("createRuntime", ("created",), marks=RUNC_CREATING),
    pytest.param("createContainer", ("created",), marks=RUNC_CREATING),
    ("startContainer", ("created", "starting")),
    pytest.param("poststart", ("running",), marks=differs(runc=POSTSTART_EARLY)),
    ("poststop", ("stopped",)),
]


@pytest.mark.parametrize("place, words", STATUS)
def test_status_in_the_hooks_state(runtime: Runtime, bundle: Bundle, place: str, words: tuple[str, ...]) -> None:
    target = "/seen" if place == "startContainer" else bundle.rootfs / "seen"
    bundle.hook(place, f"cat > {target}", drain=False)
    with runtime.running(bundle.shell("exec sleep 1000")):
        eventually(lambda: place == "poststop" or (bundle.rootfs / "seen").exists(), "the hook")
    assert json.loads((bundle.rootfs / "seen").read_text())["status"] in words


@pytest.mark.parametrize("place", ["prestart", "createRuntime", "poststart", "poststop"])
def test_runs_in_the_runtimes_namespaces(runtime: Runtime, bundle: Bundle, place: str) -> None:
    bundle.hook(place, f"readlink /proc/self/ns/mnt /proc/self/ns/uts > {bundle.path}/seen")
    with runtime.running(bundle.shell("exec sleep 1000")):
        pass
    ours = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("mnt", "uts")]
    assert (bundle.path / "seen").read_text().split() == ours


def test_create_container_hook_runs_in_the_containers_namespaces(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("createContainer", f"readlink /proc/self/ns/mnt /proc/self/ns/uts > {bundle.path}/seen")
    with runtime.created(bundle) as container:
        namespaces = [str(Path(f"/proc/{container.pid}/ns/{kind}").readlink()) for kind in ("mnt", "uts")]
        assert (bundle.path / "seen").read_text().split() == namespaces


def test_start_container_hook_runs_inside(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("startContainer", "echo $$ $(readlink /bin/sh) > /seen")
    with runtime.created(bundle.shell("cat /seen")) as container:
        assert not (bundle.rootfs / "seen").exists()
        assert container.finish().split()[1] == "busybox"


@pytest.mark.parametrize("place", ["createRuntime", "startContainer"])
@pytest.mark.parametrize("env", [["ONLY=this"], []])
def test_environment_is_the_hooks_own(runtime: Runtime, bundle: Bundle, place: str, env: list[str]) -> None:
    target = "/seen" if place == "startContainer" else bundle.rootfs / "seen"
    bundle.hook(place, f"env > {target}", env=env)
    assert runtime.run(bundle).returncode == 0
    names = {line.partition("=")[0] for line in (bundle.rootfs / "seen").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD", "PATH"} == {entry.partition("=")[0] for entry in env}


def test_environment_is_the_callers_without_one_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("createRuntime", f"echo $MARKER > {bundle.path}/seen")
    assert runtime.run(bundle, env=caller_environment(MARKER="the caller's")).returncode == 0
    assert (bundle.path / "seen").read_text() == "the caller's\n"


def test_environment_of_a_start_container_hook_is_the_programs(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["env"].append("MARKER=the program's")
    bundle.hook("startContainer", "echo $MARKER > /seen")
    assert runtime.run(bundle, env=caller_environment(MARKER="the caller's")).returncode == 0
    assert (bundle.rootfs / "seen").read_text() == "the program's\n"


@pytest.mark.parametrize("place", ["createRuntime", "startContainer"])
def test_args_default_and_first_argument(runtime: Runtime, bundle: Bundle, place: str) -> None:
    """Without args the path is argv[0], by which busybox knows what it is to be."""
    script = bundle.rootfs / "hook"
    prefix = "" if place == "startContainer" else str(bundle.rootfs)
    script.write_text(f'#!/bin/sh\necho "$# $1" >> {prefix}/seen\n')
    script.chmod(0o755)
    (bundle.rootfs / "true").symlink_to("bin/busybox")
    bundle.config["hooks"] = {
        place: [
            {"path": f"{prefix}/true"},
            {"path": f"{prefix}/hook"},
            {"path": f"{prefix}/hook", "args": ["another name", "first"]},
        ]
    }
    result = runtime.run(bundle)
    assert result.returncode == 0, result.stderr
    assert (bundle.rootfs / "seen").read_text().splitlines() == ["0 ", "1 first"]


@pytest.mark.parametrize("place", AT_CREATE)
@pytest.mark.parametrize("script", ["exit 1", "kill -9 $$", "exit 255"])
def test_failure_fails_create(runtime: Runtime, bundle: Bundle, place: str, script: str) -> None:
    container_id = new_id()
    bundle.shell("touch /ran").hook(place, script)
    bundle.hook(place, f"touch {bundle.path}/second")
    append(bundle, "poststop", "poststop")
    error_text(runtime.create(bundle, container_id), "hook")
    error_text(runtime.state(container_id))
    assert not (bundle.path / "second").exists()
    assert not (bundle.rootfs / "ran").exists()


@pytest.mark.parametrize("place", AT_CREATE)
@differs(crun="does not run poststop hooks when create fails")
def test_failure_of_create_runs_poststop_hooks(runtime: Runtime, bundle: Bundle, place: str) -> None:
    bundle.hook(place, "exit 1")
    append(bundle, "poststop", "poststop")
    runtime.create_fails(bundle, "hook")
    assert order(bundle) == ["poststop"]


@pytest.mark.parametrize("place", AT_CREATE)
@differs(crun="sends the output of hooks to /dev/null")
def test_error_holds_the_hooks_words(runtime: Runtime, bundle: Bundle, place: str) -> None:
    bundle.hook(place, "echo some-words >&2; exit 3")
    runtime.create_fails(bundle, "some-words", "exit status 3")


@differs(runc="1.1.5 copies all of it into the error", crun="sends the output of hooks to /dev/null")
def test_error_holds_no_more_than_a_caller_reads(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("createRuntime", "yes many-words | head -c 1000000 >&2; exit 3")
    runtime.create_fails(bundle, "many-words")


def test_large_output_of_a_successful_hook(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("createRuntime", "yes | head -c 1000000; yes | head -c 1000000 >&2")
    assert runtime.run(bundle.shell("echo ran")).stdout == "ran\n"


def test_output_of_a_start_container_hook_is_kept_nowhere(runtime: Runtime, bundle: Bundle) -> None:
    """It is a program of the image: what it prints must not fill the memory, while it runs and after that."""
    bundle.share("pid")
    os.mkfifo(bundle.rootfs / "here")
    script = "yes 0123456789abcdef | head -c 50000000; yes | head -c 50000000 >&2; echo $$ > /here; exec sleep 1000"
    bundle.hook("startContainer", script)
    with runtime.created(bundle) as container:
        start = runtime.popen("start", container.id)
        try:
            pid = int((bundle.rootfs / "here").read_text())
            held = [os.stat(f"/proc/{pid}/fd/{fd}").st_blocks * 512 for fd in (0, 1, 2)]
        finally:
            container.kill()
            start.wait(60)
    assert max(held) < 1 << 20


def test_failing_start_container_hook_fails_the_container(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("startContainer", "exit 1")
    with runtime.created(bundle.shell("touch /ran")) as container:
        pid = container.pid
        runtime.start(container.id)
        assert exit_code(pid) != 0
        assert not (bundle.rootfs / "ran").exists()


@differs(crun="1.8.1 reports success and leaves the container running", runc="1.1.5 leaves it to the caller to delete")
def test_failing_poststart_hook_stops_the_container(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("poststart", "exit 1")
    with runtime.created(bundle.shell("exec sleep 1000")) as container:
        pid = container.pid
        error_text(runtime.start(container.id), "poststart")
        assert exit_code(pid) != 0


@differs(runc="1.1.5 leaves out the hooks after the one that failed")
def test_failing_poststop_hook_does_not_stop_the_others(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("poststop", "exit 1")
    append(bundle, "poststop", "second")
    with runtime.created(bundle) as container:
        pid = container.pid
        container.kill("KILL")
        exit_code(pid)
        assert runtime.delete(container.id).returncode == 0
    assert order(bundle) == ["second"]
    error_text(runtime.state(container.id))


@pytest.mark.parametrize("path", ["/no/such/hook", "/etc", "/etc/passwd"])
def test_hook_that_cannot_be_executed(runtime: Runtime, bundle: Bundle, path: str) -> None:
    bundle.config["hooks"] = {"createRuntime": [{"path": path}]}
    runtime.create_fails(bundle)


@only_pyrunc("checks none of them but tries")
@pytest.mark.parametrize("members", [{"path": "bin/sh"}, {"path": ""}, {"path": "/bin/sh", "timeout": 0}])
def test_config_rules(runtime: Runtime, bundle: Bundle, members: Json) -> None:
    bundle.config["hooks"] = {"createRuntime": [members]}
    runtime.create_fails(bundle, "hooks")


@pytest.mark.parametrize("script", ["exec sleep 1000", "trap '' TERM INT; while :; do sleep 1; done"])
def test_hook_over_its_time_is_killed(runtime: Runtime, bundle: Bundle, script: str) -> None:
    bundle.hook("createRuntime", script, timeout=1)
    runtime.create_fails(bundle)


def test_start_container_hook_over_its_time_is_killed(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("startContainer", "exec sleep 1000", timeout=1)
    with runtime.created(bundle.shell("touch /ran")) as container:
        pid = container.pid
        runtime.start(container.id)
        assert exit_code(pid) != 0
    assert not (bundle.rootfs / "ran").exists()


@differs(crun="1.8.1 kills the hook only, not what it has started", runc="1.1.5 waits for whoever holds the pipe")
def test_grandchild_of_a_hook_over_its_time(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("createRuntime", "sleep 1000 & wait", timeout=1)
    runtime.create_fails(bundle, "hook", "1")


@differs(crun="1.8.1 fails on the broken pipe")
def test_hook_that_does_not_read_its_stdin(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {f"key{number}": "x" * 1000 for number in range(100)}  # more than a pipe holds
    bundle.hook("createRuntime", "exec <&-; exit 0", drain=False)
    assert runtime.run(bundle.shell("echo ran")).stdout == "ran\n"


@pytest.mark.parametrize("place", ["prestart", "createRuntime", "poststart"])
def test_hook_may_ask_for_the_state(runtime: Runtime, bundle: Bundle, place: str) -> None:
    container_id = new_id()
    command = " ".join(runtime.argv("state", container_id))
    bundle.hook(place, f"{command} > {bundle.path}/seen 2>&1; echo $? > {bundle.path}/code", timeout=30)
    result = runtime.run(bundle.shell("exec sleep 1000"), "--detach", container_id=container_id)
    assert result.returncode == 0, result.stderr
    assert (bundle.path / "code").read_text().strip() in ("0", "1")  # it has ended: no dead-lock
    assert runtime.delete(container_id, "--force").returncode == 0


@differs(crun="1.8.1 writes its status file after the hooks", runc="1.1.5 writes its state file after prestart")
@pytest.mark.parametrize("place", ["prestart", "createRuntime"])
def test_state_is_known_to_a_create_hook(runtime: Runtime, bundle: Bundle, place: str) -> None:
    test_hook_may_ask_for_the_state(runtime, bundle, place)
    assert json.loads((bundle.path / "seen").read_text())["status"] in ("creating", "created")


def test_mount_by_a_hook_is_seen_in_the_container(runtime: Runtime, bundle: Bundle) -> None:
    # As NVIDIA's hook does: it enters the container's mount namespace by the pid of the state.
    (bundle.path / "library").write_text("mounted by the hook")
    (bundle.rootfs / "library").touch()
    bundle.hook(
        "createRuntime",
        f"pid=$({PID_OF_STATE}); nsenter -t $pid -m true && echo $pid > {bundle.path}/entered",
        drain=False,
    )
    bundle.hook("createContainer", f"busybox mount --bind {bundle.path}/library {bundle.rootfs}/library")
    assert runtime.output(bundle, "cat /library") == "mounted by the hook"
    assert (bundle.path / "entered").exists()


@pytest.mark.parametrize("place", ["prestart", "createRuntime"])
def test_runs_before_the_root_is_changed(runtime: Runtime, bundle: Bundle, place: str) -> None:
    script = f"pid=$({PID_OF_STATE}); test -e /proc/$pid/root{bundle.path}/config.json && touch {bundle.path}/seen"
    bundle.hook(place, script, drain=False)
    with runtime.created(bundle) as container:
        assert (bundle.path / "seen").exists()
        assert not Path(f"/proc/{container.pid}/root{bundle.path}").exists()


def test_many_hooks(runtime: Runtime, bundle: Bundle) -> None:
    for number in range(50):
        append(bundle, "createRuntime", str(number))
    assert runtime.run(bundle).returncode == 0
    assert order(bundle) == [str(number) for number in range(50)]


IMAGE = pytest.param("createContainer", marks=differs(runc="1.5.3: in the root file system, which is the image's"))
NOWHERE = pytest.param("poststop", marks=differs(runc="1.5.3: where delete is called"))


@pytest.mark.parametrize("place", ["prestart", "createRuntime", IMAGE, "poststart", NOWHERE])
def test_hooks_stand_in_the_bundle(runtime: Runtime, bundle: Bundle, area: Path, place: str) -> None:
    bundle.hook(place, f"pwd > {area}/where")
    result = runtime.run(bundle.shell("true"))
    assert result.returncode == 0, result.stderr
    assert (area / "where").read_text().strip() == str(bundle.path)


def test_hook_of_a_user_namespace_that_may_not_enter_the_bundle(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.user_namespace().hook("createContainer", "true")
    bundle.rootfs.rename(area / "root")
    bundle.config["root"]["path"] = str(area / "root")
    bundle.path.chmod(0o700)
    result = runtime.run(bundle.shell("true"))
    assert result.returncode == 0, result.stderr


@only_pyrunc("fails, or does not run it")
def test_poststop_hook_when_the_bundle_is_gone(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.hook("poststop", f"touch {area}/ran")
    with runtime.created(bundle, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        bundle.path.rename(area / "elsewhere")
    assert (area / "ran").exists()
    (area / "elsewhere").rename(bundle.path)
