"""Configs, bundles and command lines that are wrong: one clean message, no container, no hang."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text, new_id, runtime_name

NOT_JSON = [
    b"",
    b"{",
    b"nonsense",
    b"{}}",
    b'{"ociVersion": "1.0.0",}',
    b'{"ociVersion": "1.0.0" // comment\n}',
    b"\xff\xfe{}",
    b'{"ociVersion": "1.0.0\x00"}',
    b'{"ociVersion": NaN}',
    b"[" * 100_000,
    b'{"a": ' * 100_000,
]


def create_from(runtime: Runtime, bundle: Bundle) -> str:
    """Message of a create from the bundle as it lies there."""
    container_id = new_id()
    message = error_text(runtime.call("create", "--bundle", bundle.path, container_id))
    error_text(runtime.state(container_id))
    return message


@differs(crun="1.8.1 prints its parser's drawing of the place")
@pytest.mark.parametrize("content", NOT_JSON, ids=range(len(NOT_JSON)))
def test_config_that_is_not_json(runtime: Runtime, bundle: Bundle, content: bytes) -> None:
    (bundle.path / "config.json").write_bytes(content)
    create_from(runtime, bundle)


@pytest.mark.parametrize("content", [b"null", b"[]", b"1", b'"x"', b"true"])
def test_config_that_is_not_an_object(runtime: Runtime, bundle: Bundle, content: bytes) -> None:
    (bundle.path / "config.json").write_bytes(content)
    create_from(runtime, bundle)


def test_missing_config(runtime: Runtime, bundle: Bundle) -> None:
    assert "config.json" in create_from(runtime, bundle)


@pytest.mark.parametrize("kind", ["directory", "loop", "dangling"])
def test_config_of_another_kind(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    path = bundle.path / "config.json"
    if kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("config.json" if kind == "loop" else "none")
    create_from(runtime, bundle)


@only_pyrunc("reads for ever")
@pytest.mark.parametrize("kind", ["fifo", "/dev/zero"])
def test_config_that_never_ends(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    path = bundle.path / "config.json"
    if kind == "fifo":
        os.mkfifo(path)
        assert stat.S_ISFIFO(path.stat().st_mode)
    else:
        path.symlink_to(kind)
    create_from(runtime, bundle)


def test_missing_bundle(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    error_text(runtime.call("create", "--bundle", area / "none", new_id()), "no such file")


def test_bundle_that_is_a_file(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "file").touch()
    error_text(runtime.call("create", "--bundle", area / "file", new_id()), "not a directory")


@only_pyrunc("lets the last one win")
def test_duplicate_key(runtime: Runtime, bundle: Bundle) -> None:
    bundle.save("x")
    text = (bundle.path / "config.json").read_text()
    (bundle.path / "config.json").write_text(text.replace("{", '{"hostname": "other", ', 1))
    assert "hostname" in create_from(runtime, bundle)


WRONG: list[tuple[str, object]] = [
    ("/ociVersion", None),
    ("/ociVersion", "nonsense"),
    ("/ociVersion", "2.0.0"),
    ("/root/path", 1),
    ("/process/args", "sh"),
    ("/process/args/0", 7),
    ("/process/user/uid", -1),
    ("/process/user/uid", True),
    ("/process/user/uid", 1.5),
    ("/process/user/uid", 2**31),
    ("/process/user/uid", 2**32),
    ("/process/terminal", "yes"),
    ("/mounts", {}),
    ("/mounts/0/options", "ro"),
    ("/mounts/0/destination", None),
    ("/linux/namespaces/0/type", "nonsense"),
    ("/linux/rootfsPropagation", "nonsense"),
]


@only_pyrunc("checks fewer of them, and names no place")
@pytest.mark.parametrize("pointer, value", WRONG)
def test_wrong_value_is_named_by_its_pointer(runtime: Runtime, bundle: Bundle, pointer: str, value: object) -> None:
    bundle.save("x")
    config = json.loads((bundle.path / "config.json").read_text())
    *parents, last = pointer.strip("/").split("/")
    target = config
    for name in parents:
        target = target[int(name) if isinstance(target, list) else name]
    target[int(last) if isinstance(target, list) else last] = value
    (bundle.path / "config.json").write_text(json.dumps(config))
    assert pointer in create_from(runtime, bundle)


@differs(crun="1.28: an error")
def test_limit_of_kernel_memory_is_warned_about_once(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"kernel": 1 << 20}}
    result = runtime.run(bundle)
    assert result.returncode == 0
    assert result.stderr.lower().count("kernel") == 1, result.stderr


def test_unknown_keys_are_ignored(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["org.example.extension"] = {"a": [1, None]}
    bundle.process["unknown"] = 1
    bundle.linux["unknown"] = []
    assert runtime.output(bundle, "echo ran") == "ran\n"


MISUSE = [
    ["nonsense"],
    ["state"],
    ["state", "a", "b"],
    ["start"],
    ["create"],
    ["delete"],
    ["kill"],
    ["--nonsense", "list"],
    ["list", "--nonsense"],
    ["create", "--bundle"],
    ["help", "nonsense"],
    ["list", "--format", "nonsense"],
]


@pytest.mark.parametrize("arguments", MISUSE, ids=" ".join)
def test_misuse_of_the_command_line(runtime: Runtime, arguments: list[str]) -> None:
    result = runtime.call(*arguments)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr
    assert result.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        ("--help", ("usage:", "create", "--root")),
        pytest.param("-h", ("usage:",), marks=differs(crun="1.8.1 has no -h")),
        ("create --help", ("--bundle", "--console-socket")),
        ("--version", ("{name} version ", "\nspec: 1.")),
        ("-v", ("{name} version ",)),
        pytest.param("-V", ("{name} version ",), marks=differs(runc="1.5.3 has no -V")),
        pytest.param("help create", ("--bundle", "--console-socket"), marks=differs(crun="1.28 has no such command")),
    ],
)
def test_help_and_version(runtime: Runtime, words: str, said: tuple[str, ...]) -> None:
    result = runtime.call(*words.split())
    assert result.returncode == 0
    for text in said:
        assert text.format(name=runtime_name()) in result.stdout.replace("Usage:", "usage:").replace("USAGE:", "usage:")


def test_spec_writes_a_config_that_runs(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.call("spec", cwd=bundle.path).returncode == 0
    config = json.loads((bundle.path / "config.json").read_text())
    assert config["process"]["args"] == ["sh"]
    assert "inheritable" not in config["process"].get("capabilities", {}) or "crun" in str(runtime.path)
    config["process"].update({"terminal": False, "args": ["echo", "ran"]})
    config["linux"].pop("resources", None)
    bundle.config = config
    result = runtime.run(bundle)
    assert (result.returncode, result.stdout) == (0, "ran\n"), result.stderr


@differs(crun="1.8.1 overwrites it")
def test_spec_does_not_overwrite(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "config.json").write_text("mine")
    error_text(runtime.call("spec", cwd=bundle.path), "config.json")
    assert (bundle.path / "config.json").read_text() == "mine"


@differs(crun="1.8.1 has no features command")
def test_features(runtime: Runtime) -> None:
    features = json.loads(runtime.call("features").stdout)
    assert "createRuntime" in features["hooks"]
    assert {"pid", "network", "mount", "ipc", "uts", "user", "cgroup"} <= set(features["linux"]["namespaces"])


STATES_OF_A_HOST: dict[str, dict[str, object]] = {
    "no environment": {"env": {}},
    "a poor one": {"env": {"XDG_RUNTIME_DIR": "/no/such", "LISTEN_FDS": "x", "NOTIFY_SOCKET": "/no/such", "HOME": "0"}},
    "an ordinary user": {"env": {}, "user": 4321, "group": 4321, "extra_groups": []},
    "no working directory": {"preexec_fn": lambda: (os.mkdir("gone"), os.chdir("gone"), os.rmdir("../gone"))},
}


@pytest.mark.parametrize("state", STATES_OF_A_HOST)
def test_features_says_nothing_else(runtime: Runtime, area: Path, state: str) -> None:
    """CRI-O reads standard output and standard error as one JSON text."""
    argv = [str(runtime.path), "features"]
    options = {"cwd": area} | STATES_OF_A_HOST[state]
    result = subprocess.run(argv, capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL, **options)
    assert (result.returncode, result.stderr) == (0, "")
    value = json.loads(result.stdout)
    assert value["ociVersionMin"]
    if runtime_name() == "pyrunc":  # the peers have `org.opencontainers.runc...` among theirs
        assert [name for name in value["annotations"] if name.startswith("org.opencontainers")] == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_error_goes_to_the_log_and_to_stderr(runtime: Runtime, bundle: Bundle, area: Path, form: str) -> None:
    log = area / "log"
    argv = ["--log", str(log), "--log-format", form, "state", new_id()]
    message = error_text(runtime.call(*argv))
    text = log.read_text()
    assert len(text.splitlines()) == 1
    if form == "json":
        entry = json.loads(text)
        assert {"level", "msg", "time"} <= entry.keys()
        assert entry["level"] == "error"
        assert entry["msg"].strip() in message or message in entry["msg"]
