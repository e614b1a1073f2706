"""The session keyring of a container: another user of the host can neither make it first nor read it."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyrunc.kernel import syscalls
from pyrunc.kernel.process import keyring

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Container, Runtime, new_id

JOIN, SETPERM, DESCRIBE = 1, 5, 6
SESSION = -3
KEYCTL = syscalls.number("keyctl")
NOBODY = 65534
# A process of another user makes a keyring of that name that everybody may search and write, and keeps it.
SQUATTER = """
import ctypes, os, sys
os.setgid(65534), os.setuid(65534)
call = ctypes.CDLL(None).syscall
ring = call({keyctl}, 1, sys.argv[1].encode())
call({keyctl}, 5, ring, 0x3F3F3F3F)
print("made" if ring > 0 else "not made", flush=True)
sys.stdin.read()
""".format(keyctl=KEYCTL)


def squatted(name: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", SQUATTER, name]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    return process


def in_child(work) -> str:
    """What `work` returns in a child of this process, whose keyring is not to change."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return answer


def own_keyring() -> str:
    text = ctypes.create_string_buffer(200)
    ctypes.CDLL(None).syscall(KEYCTL, DESCRIBE, SESSION, text, 200)
    return text.value.decode()


@differs(crun="names it by the id alone", runc="1.1.5 names it by the id alone")
def test_keyring_that_another_user_has_made_before_is_not_joined(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = []
    bundle.process["user"] = {"uid": 0, "gid": 0}
    container_id = new_id()
    process = squatted(f"_ses.{container_id}")
    try:
        bundle.shell("cat /proc/keys")
        result = runtime.run(bundle, container_id=container_id)
    finally:
        process.communicate()
    lines = [line for line in result.stdout.splitlines() if f"_ses.{container_id}" in line]
    assert [line.split()[5] for line in lines if line.split()[5] == "0"], lines  # the owner of that of the container
    assert [line for line in lines if f"_ses.{container_id}:" not in line]


@only_pyrunc("the name is in pyrunc's state")
def test_two_containers_of_one_name_have_keyrings_of_two(runtime: Runtime, bundle: Bundle) -> None:
    names, container_id = [], new_id()
    for _ in range(2):
        assert runtime.create(bundle, container_id).returncode == 0
        names.append(json.loads((runtime.root / container_id / "state.json").read_text())["keyring"])
        assert runtime.delete(container_id, "--force").returncode == 0
    assert names[0] != names[1]
    assert all(len(name.removeprefix(f"_ses.{container_id}.")) == 16 for name in names)


@only_pyrunc("this is pyrunc's state")
def test_exec_in_a_container_of_an_older_version(runtime: Runtime, bundle: Bundle) -> None:
    """Its state does not name the keyring."""
    bundle.linux["maskedPaths"] = []
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        forget_keyring(container)
        result = runtime.call("exec", container.id, "cat", "/proc/keys")
        assert result.returncode == 0, result.stderr
        assert f"_ses.{container.id}:" in result.stdout


def forget_keyring(container: Container) -> None:
    path = container.runtime.root / container.id / "state.json"
    state = json.loads(path.read_text())
    del state["keyring"]
    path.write_text(json.dumps(state))


def test_foreign_keyring_of_the_very_name_is_left_for_another() -> None:
    process = squatted("_ses.known")
    try:
        found = in_child(lambda: (keyring.new_session_keyring("_ses.known"), own_keyring()))
    finally:
        process.communicate()
    kind, uid, *_, name = found.split("'")[3].split(";")
    assert (kind, uid) == ("keyring", str(os.getuid()))
    assert name != "_ses.known"


def test_system_call_that_is_forbidden_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: str) -> int:
        raise PermissionError(1, "")

    monkeypatch.setattr(syscalls, "join_session_keyring", forbidden)
    assert "shares the session keyring" in keyring.new_session_keyring("_ses.x")


@only_pyrunc("the peers say nothing")
def test_warning_reaches_the_caller(runtime: Runtime, bundle: Bundle, make_bundle) -> None:
    """A filter around the runtime, such as docker's default profile, forbids keyctl(2)."""
    words = forbidding_keyctl(Path(bundle.path))
    other = runtime.behind(*words)
    result = other.run(bundle.shell("echo ran"))
    assert (result.returncode, result.stdout) == (0, "ran\n"), result.stderr
    assert "shares the session keyring" in result.stderr
    with runtime.running(make_bundle().shell("exec sleep 1000")) as container:
        result = other.call("exec", container.id, "echo", "ran")
        assert (result.returncode, result.stdout) == (0, "ran\n"), result.stderr
        assert "shares the session keyring" in result.stderr


def forbidding_keyctl(directory: Path) -> tuple[str, ...]:
    """Words of a program that runs the rest of its command line under a filter without keyctl(2)."""
    program = directory / "forbid"
    program.write_text(FORBID)
    return (sys.executable, str(program))


FORBID = f"""
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
def instruction(code, yes, no, value): return struct.pack("HBBI", code, yes, no, value)
rules = instruction(0x20, 0, 0, 0) + instruction(0x15, 0, 1, {KEYCTL}) + instruction(6, 0, 0, 0x50001)
rules += instruction(6, 0, 0, 0x7FFF0000)
text = ctypes.create_string_buffer(rules, len(rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules) // 8, ctypes.addressof(text)))
assert libc.prctl(22, 2, program, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
