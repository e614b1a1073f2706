"""The process object: user, environment, working directory, program lookup, limits and the like."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, runtime_name
from tests.waiting import eventually


def test_user_and_groups(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [7, 8]}
    assert runtime.output(bundle, "id -u; id -g; id -G").split() == ["1000", "1001", "1001", "7", "8"]


def test_group_that_is_missing_is_0(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000}
    result = runtime.run(bundle.shell("id -u; id -g"))
    assert (result.returncode, result.stdout.split()) == (0, ["1000", "0"])
    assert ("`gid` is missing" in result.stderr) == (runtime_name() == "pyrunc")


def test_groups_of_the_caller_are_not_inherited(runtime: Runtime, bundle: Bundle) -> None:
    before = os.getgroups()
    os.setgroups([4242])
    try:
        output = runtime.output(bundle, "grep Groups: /proc/self/status")
    finally:
        os.setgroups(before)
    assert output.split() == ["Groups:"]


@pytest.mark.parametrize("umask, expected", [(0o77, "0077"), (0, "0000"), (0o27, "0027"), (None, "0022")])
def test_umask(runtime: Runtime, bundle: Bundle, umask: int | None, expected: str) -> None:
    if umask is not None:
        bundle.process["user"]["umask"] = umask
    before = os.umask(0o07)
    try:
        with runtime.running(bundle.shell("umask; exec sleep 1000")) as container:
            eventually(container.output, "the umask")
            assert container.output().strip() == expected
            if runtime_name() != "runc":  # its exec inherits the caller's
                assert runtime.call("exec", container.id, "sh", "-c", "umask").stdout.strip() == expected
    finally:
        os.umask(before)


@only_pyrunc("applies the caller's umask to the directories that it makes")
def test_umask_of_the_caller_does_not_matter_for_the_root_file_system(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "file").touch()
    before = os.umask(0o777)
    try:
        bundle.mount("/made/by/mount", "tmpfs", "mode=755", fstype="tmpfs").process["cwd"] = "/made/cwd"
        output = runtime.output(bundle, "stat -c %a /made /made/by /made/cwd /dev/null /dev/pts")
    finally:
        os.umask(before)
    assert output.split() == ["755", "755", "755", "666", "755"]


def test_environment_is_the_configured_one_alone(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["env"] = ["PATH=/bin", "HOME=/here", "EMPTY=", "EQUALS=a=b", "UMLAUT=ä"]
    bundle.process["args"] = ["env"]
    result = runtime.run(bundle)
    assert sorted(result.stdout.splitlines()) == sorted(bundle.process["env"])


def test_of_a_variable_given_twice_the_last_value_counts(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["env"] = ["PATH=/bin", "HOME=/", "TWICE=first", "TWICE=last"]
    bundle.process["args"] = ["env"]
    assert [line for line in runtime.run(bundle).stdout.splitlines() if "TWICE" in line] == ["TWICE=last"]


UNKNOWN = pytest.param(4242, "/", marks=differs(crun="1.8.1 leaves it unset"))


@pytest.mark.parametrize("uid, home", [(0, "/root"), (1000, "/home/user"), UNKNOWN])
def test_home_is_looked_up_when_unset(runtime: Runtime, bundle: Bundle, uid: int, home: str) -> None:
    bundle.process["user"] = {"uid": uid, "gid": uid}
    assert runtime.output(bundle, "echo $HOME").strip() == home


def test_home_is_root_directory_without_passwd(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "etc/passwd").unlink()
    assert runtime.output(bundle, "echo $HOME").strip() in ("/", "/root")


def test_home_stays_as_configured(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["env"].append("HOME=/elsewhere")
    assert runtime.output(bundle, "echo $HOME").strip() == "/elsewhere"


def test_cwd(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/usr/bin"
    assert runtime.output(bundle, "pwd").strip() == "/usr/bin"


def test_missing_cwd_is_made(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/a/b"
    assert runtime.output(bundle, "pwd").strip() == "/a/b"
    assert (bundle.rootfs / "a/b").is_dir()


def read_only_tmpfs(bundle: Bundle) -> None:
    bundle.mount("/a", "tmpfs", "ro", "mode=755", fstype="tmpfs")


@pytest.mark.parametrize(
    "make_read_only",
    [
        lambda bundle: bundle.config["root"].update(readonly=True),
        lambda bundle: bundle.linux.update(readonlyPaths=["/a"]),
        read_only_tmpfs,
        lambda bundle: bundle.user_namespace().config["root"].update(readonly=True),
    ],
    ids=["root", "readonlyPaths", "tmpfs", "root of a user namespace"],
)
def test_missing_cwd_is_made_in_what_will_be_read_only(
    runtime: Runtime, bundle: Bundle, make_read_only: Callable[[Bundle], None]
) -> None:
    (bundle.rootfs / "a").mkdir()
    make_read_only(bundle)
    bundle.process["cwd"] = "/a/b"
    assert runtime.output(bundle, "pwd; touch x || echo read-only") == "/a/b\nread-only\n"


def test_cwd_through_a_symlink(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "link").symlink_to("usr/bin")
    bundle.process["cwd"] = "/link"
    assert runtime.output(bundle, "/bin/pwd -P").strip() == "/usr/bin"


def test_cwd_that_only_the_containers_user_may_enter(runtime: Runtime, bundle: Bundle) -> None:
    directory = bundle.rootfs / "home/user"
    directory.mkdir(mode=0o700)
    os.chown(directory, 1000, 1000)
    bundle.capabilities().process.update({"cwd": "/home/user", "user": {"uid": 1000, "gid": 1000}})
    assert runtime.output(bundle, "pwd").strip() == "/home/user"


def test_cwd_that_root_may_not_enter(runtime: Runtime, bundle: Bundle) -> None:
    """Root of a user namespace has no power over a file whose group is not mapped (capabilities(7)), as over FUSE."""
    directory = bundle.rootfs / "home/user"
    directory.mkdir(mode=0o700)
    bundle.user_namespace(100000).process.update({"cwd": "/home/user", "user": {"uid": 1000, "gid": 1000}})
    os.chown(directory, 101000, 0)
    assert runtime.output(bundle, "pwd").strip() == "/home/user"


def test_cwd_that_is_a_file(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/etc/passwd"
    message = runtime.create_fails(bundle, "/etc/passwd", "not a directory")
    assert runtime.path.name != "pyrunc" or "(config.json: /process/cwd)" in message


@pytest.mark.parametrize("cwd", ["relative", ""])
@differs(crun="1.8.1 takes it from the root directory")
def test_cwd_must_be_absolute(runtime: Runtime, bundle: Bundle, cwd: str) -> None:
    bundle.process["cwd"] = cwd
    runtime.create_fails(bundle, "cwd")


# The texts that podman turns into its exit codes 127 and 126.
MISSING = [["no-such-program"], ["/no/such/program"], ["bin/no-such-program"]]
NOT_RUNNABLE = [["/etc"], ["/etc/passwd"]]


@pytest.mark.parametrize("args", MISSING)
def test_missing_program(runtime: Runtime, bundle: Bundle, args: list[str]) -> None:
    bundle.process["args"] = args
    message = runtime.create_fails(bundle, args[0], "no such file or directory" if "/" in args[0] else "not found")
    assert "permission denied" not in message.lower()


@pytest.mark.parametrize("args", NOT_RUNNABLE)
def test_program_that_cannot_be_executed(runtime: Runtime, bundle: Bundle, args: list[str]) -> None:
    bundle.process["args"] = args
    message = runtime.create_fails(bundle).lower()
    assert "permission denied" in message or "operation not permitted" in message


@only_pyrunc("has its own words")
@pytest.mark.parametrize(
    "args, words",
    [
        (["no-such-program"], "executable file `no-such-program` not found in $PATH: no such file or directory"),
        (["/etc/passwd"], "open executable `/etc/passwd`: permission denied"),
        (["/etc"], "exec `/etc`: permission denied (it is a directory)"),
    ],
)
def test_program_errors_have_the_words_that_podman_and_docker_know(
    runtime: Runtime, bundle: Bundle, args: list[str], words: str
) -> None:
    bundle.process["args"] = args
    runtime.create_fails(bundle, words)


@pytest.mark.parametrize("args", [[], [""]])
def test_empty_args(runtime: Runtime, bundle: Bundle, args: list[str]) -> None:
    bundle.process["args"] = args
    runtime.create_fails(bundle)


def test_path_of_the_container_is_searched(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "special").mkdir()
    (bundle.rootfs / "bin/echo").unlink()
    (bundle.rootfs / "special/echo").symlink_to("/bin/busybox")
    bundle.process["env"] = ["PATH=/no/such/dir:/special"]
    bundle.process["args"] = ["echo", "found"]
    assert runtime.run(bundle).stdout == "found\n"


def test_directory_of_that_name_in_path_is_passed_over(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "first/echo").mkdir(parents=True)
    bundle.process["env"] = ["PATH=/first:/bin"]
    bundle.process["args"] = ["echo", "found"]
    assert runtime.run(bundle).stdout == "found\n"


def test_program_relative_to_cwd(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process.update({"cwd": "/bin", "args": ["./echo", "found"]})
    assert runtime.run(bundle).stdout == "found\n"


def test_script_without_interpreter(runtime: Runtime, bundle: Bundle) -> None:
    script = bundle.rootfs / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    bundle.process["args"] = ["/script"]
    result = runtime.run(bundle)
    assert result.returncode != 0
    assert "no such file or directory" in result.stderr.lower()


def test_arguments_reach_the_program_unchanged(runtime: Runtime, bundle: Bundle) -> None:
    words = ["", "a b", "*", "$HOME", "ä\u20ac", "\n", "-x", "'\""]
    bundle.process["args"] = ["sh", "-c", 'for word; do printf "[%s]" "$word"; done', "sh", *words]
    assert runtime.run(bundle).stdout == "".join(f"[{word}]" for word in words)


def test_rlimits(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 1 << 20},
        {"type": "RLIMIT_STACK", "soft": 8 << 20, "hard": 2**64 - 1},
    ]
    lines = runtime.output(bundle, "cat /proc/self/limits").splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert limits["Max open files"] == ["100", "200"]
    assert limits["Max core file size"] == ["0", str(1 << 20)]
    assert limits["Max stack size"] == [str(8 << 20), "unlimited"]


# Lines of /proc/PID/limits (proc(5)).
RLIMITS = {
    "AS": "address space", "CORE": "core file size", "CPU": "cpu time", "DATA": "data size", "FSIZE": "file size",
    "LOCKS": "file locks", "MEMLOCK": "locked memory", "MSGQUEUE": "msgqueue size", "NICE": "nice priority",
    "NOFILE": "open files", "NPROC": "processes", "RSS": "resident set", "RTPRIO": "realtime priority",
    "RTTIME": "realtime timeout", "SIGPENDING": "pending signals", "STACK": "stack size",
}  # fmt: skip


def limits_in(text: str) -> dict[str, tuple[int, int]]:
    """(soft, hard) of each type in a /proc/PID/limits."""
    values = {line[:26].strip().removeprefix("Max "): line[26:].split()[:2] for line in text.splitlines()}
    numbers = {words: [2**64 - 1 if word == "unlimited" else word for word in pair] for words, pair in values.items()}
    return {name: (int(numbers[words][0]), int(numbers[words][1])) for name, words in RLIMITS.items()}


def test_every_type_of_rlimit(runtime: Runtime, bundle: Bundle) -> None:
    """Other values than ours, but no hard limit above ours: raising one takes a privilege that root may not have."""
    values = {}
    for number, (name, (_, ours)) in enumerate(limits_in(Path("/proc/self/limits").read_text()).items()):
        hard = min(ours, 2 * 10**9 + number)
        values[name] = (max(hard - number - 1, 0), hard)
    bundle.process["rlimits"] = [
        {"type": f"RLIMIT_{name}", "soft": soft, "hard": hard} for name, (soft, hard) in values.items()
    ]
    assert limits_in(runtime.output(bundle, "cat /proc/self/limits")) == values


@pytest.mark.parametrize(
    "rlimit",
    [
        {"type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1},
        {"type": "NOFILE", "soft": 1, "hard": 1},
        {"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1},
    ],
)
def test_bad_rlimit(runtime: Runtime, bundle: Bundle, rlimit: dict[str, object]) -> None:
    bundle.process["rlimits"] = [rlimit]
    runtime.create_fails(bundle)


@only_pyrunc("lets the last one win")
def test_rlimit_twice(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["rlimits"].append({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1})
    runtime.create_fails(bundle, "rlimits", "RLIMIT_NOFILE")


@pytest.mark.parametrize("value", [500, 1000])
def test_oom_score_adj(runtime: Runtime, bundle: Bundle, value: int) -> None:
    bundle.process["oomScoreAdj"] = value
    assert runtime.output(bundle, "cat /proc/self/oom_score_adj").strip() == str(value)


def test_oom_score_adj_is_left_alone_when_unset(runtime: Runtime, bundle: Bundle) -> None:
    own = Path("/proc/self/oom_score_adj")
    before = own.read_text()
    own.write_text("17")
    try:
        assert runtime.output(bundle, "cat /proc/self/oom_score_adj").strip() == "17"
    finally:
        own.write_text(before)


@only_pyrunc("leaves it to the kernel")
@pytest.mark.parametrize("value", [-1001, 1001])
def test_oom_score_adj_out_of_range(runtime: Runtime, bundle: Bundle, value: int) -> None:
    bundle.process["oomScoreAdj"] = value
    runtime.create_fails(bundle, "oomScoreAdj")


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privileges(runtime: Runtime, bundle: Bundle, value: bool) -> None:
    bundle.process["noNewPrivileges"] = value
    assert runtime.output(bundle, "grep NoNewPrivs /proc/self/status").split()[1] == str(int(value))


@differs(runc="1.1.5 does not know personality")
@pytest.mark.parametrize("domain, value", [("LINUX32", "00000008"), ("LINUX", "00000000")])
def test_personality(runtime: Runtime, bundle: Bundle, domain: str, value: str) -> None:
    # Not by uname(2): it names another machine only where the kernel has a 32-bit name, as user-mode Linux has not.
    bundle.linux["personality"] = {"domain": domain}
    assert runtime.output(bundle, "cat /proc/self/personality").strip() == value


def test_new_session_without_a_terminal(runtime: Runtime, bundle: Bundle) -> None:
    # Otherwise the container could push input into the caller's terminal (TIOCSTI).
    with runtime.created(bundle.shell("exec sleep 1000")) as container:
        container.start()
        assert os.getsid(container.pid) == container.pid


def test_session_keyring_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = []
    with runtime.created(bundle.shell("cat /proc/keys")) as container:
        assert container.id in container.finish()


@differs(crun="1.8.1 leaves it as the kernel makes it")
def test_session_keyring_can_be_searched(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = []
    with runtime.created(bundle.shell("cat /proc/keys")) as container:
        (line,) = [line for line in container.finish().splitlines() if container.id in line]
    # KEY_USR_SEARCH and KEY_USR_READ (keyctl_setperm(3)): who joins it later does not possess it yet.
    assert int(line.split()[4], 16) & 0x0A0000 == 0x0A0000


def test_no_new_keyring(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = []
    with runtime.created(bundle.shell("cat /proc/keys; echo ran"), "--no-new-keyring") as container:
        output = container.finish()
    assert output.endswith("ran\n")
    assert container.id not in output
