"""The state of ordinary users' containers: where it is, and that users do not meet in it."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import mount, umount
from tests.ordinaryuser import OrdinaryUser
from tests.peers import differs, only_pyrunc
from tests.runtime import Result, Runtime, error_text, new_id, runtime_name

OTHER = 5432
TRUSTS = "takes any directory that it can use"
RUNC_WANTS_A_NAMESPACE = "1.1.5 refuses a config without a user namespace"


def call(runtime: Runtime, *words: str, uid: int, **environment: str) -> Result:
    """A command without --root."""
    return subprocess.run(
        [runtime.path, *words], check=False, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        user=uid, group=uid, extra_groups=[], env={"PATH": "/usr/bin:/bin"} | environment,
    )  # fmt: skip


@pytest.fixture
def sleeping(bundle: Bundle, user: OrdinaryUser) -> Bundle:
    """A bundle of the user's, with its config saved."""
    script = "exec sleep 1000 > /dev/null 2>&1"  # or who reads its output waits for its end
    own = user.own(bundle).drop_mounts("/sys/fs/cgroup").shell(script)
    own.save("")
    return own


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_in_the_users_runtime_directory(runtime: Runtime, sleeping: Bundle, user: OrdinaryUser) -> None:
    environment = {"XDG_RUNTIME_DIR": str(user.runtime_dir)}
    container_id = new_id()
    created = call(runtime, "run", "-d", "-b", str(sleeping.path), container_id, uid=user.id, **environment)
    assert created.returncode == 0, created.stderr
    try:
        directory = user.runtime_dir / runtime.path.name
        facts = directory.stat()
        assert (facts.st_uid, stat.S_IMODE(facts.st_mode) & 0o077) == (user.id, 0)
        if runtime_name() != "crun":  # which leaves it to those who tidy up
            assert facts.st_mode & stat.S_ISVTX
        assert (directory / container_id).is_dir()
        assert not (Path("/run") / runtime.path.name).exists()
    finally:
        deleted = call(runtime, "delete", "--force", container_id, uid=user.id, **environment)
    assert deleted.returncode == 0, deleted.stderr


@only_pyrunc("makes a directory for each user there")
def test_without_the_variable_it_is_below_run_user(runtime: Runtime, sleeping: Bundle, user: OrdinaryUser) -> None:
    result = call(runtime, "create", "-b", str(sleeping.path), new_id(), uid=user.id)
    error_text(result, f"/run/user/{user.id}/pyrunc")


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_two_users_with_one_runtime_directory(
    runtime: Runtime, sleeping: Bundle, user: OrdinaryUser, area: Path
) -> None:
    shared = area / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    environment = {"XDG_RUNTIME_DIR": str(shared)}
    container_id = new_id()
    created = call(runtime, "run", "-d", "-b", str(sleeping.path), container_id, uid=user.id, **environment)
    assert created.returncode == 0, created.stderr
    try:
        for words in (("list", "-q"), ("state", container_id), ("kill", container_id, "KILL")):
            answer = call(runtime, *words, uid=OTHER, **environment)
            assert answer.returncode != 0 or answer.stdout == "", answer.stdout
        call(runtime, "delete", "--force", container_id, uid=OTHER, **environment)
        state = call(runtime, "state", container_id, uid=user.id, **environment)
        assert '"running"' in state.stdout, state.stderr
    finally:
        call(runtime, "delete", "--force", container_id, uid=user.id, **environment)


def foreign(root: Path, kind: str) -> None:
    """Make what another user could have put in the place of the state root."""
    if kind == "link":
        target = root.with_name("target")
        target.mkdir(mode=0o700)
        root.symlink_to(target)
        os.lchown(root, OTHER, OTHER)
        return
    root.mkdir()
    if kind == "owner":
        os.chown(root, OTHER, OTHER)
    root.chmod(0o777)


@only_pyrunc(TRUSTS)
@pytest.mark.parametrize(("kind", "reason"), [
    ("owner", f"belongs to uid {OTHER}"), ("link", f"belongs to uid {OTHER}"), ("mode", "others may write"),
])  # fmt: skip
def test_a_state_root_that_others_can_change(runtime: Runtime, bundle: Bundle, kind: str, reason: str) -> None:
    """Root is the caller: what it finds there it would kill and remove."""
    foreign(runtime.root, kind)
    runtime.create_fails(bundle, reason)
    for words in (("list",), ("state", "x"), ("kill", "x"), ("delete", "--force", "x"), ("exec", "x", "true")):
        error_text(runtime.call(*words), reason)


@only_pyrunc(TRUSTS)
def test_a_container_of_another_user(runtime: Runtime, bundle: Bundle) -> None:
    runtime.root.mkdir()
    runtime.root.chmod(0o1777)  # as /tmp
    container_id = new_id()
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        theirs = runtime.root / container_id
        theirs.mkdir()
        pid, content = container.pid, (runtime.root / container.id / "state.json").read_bytes()
        (theirs / "state.json").write_bytes(content)
        os.chown(theirs, OTHER, OTHER)
        for words in (("kill", container_id, "KILL"), ("delete", "--force", container_id)):
            error_text(runtime.call(*words), f"belongs to uid {OTHER}")
        assert container_id not in runtime.call("list", "--quiet").stdout
        assert (container.pid, container.status) == (pid, "running")
        (theirs / "state.json").unlink()
        theirs.rmdir()


@differs(runc=RUNC_WANTS_A_NAMESPACE, crun="1.8.1 makes a directory that it cannot go into")
@pytest.mark.parametrize("umask", [0o777, 0o700, 0o077])
def test_a_umask_that_takes_everything_from_the_owner(
    runtime: Runtime, sleeping: Bundle, user: OrdinaryUser, umask: int
) -> None:
    container_id = new_id()
    words = ["create", "--bundle", sleeping.path, container_id]
    created = runtime.call(*words, umask=umask)
    assert created.returncode == 0, created.stderr
    assert runtime.delete(container_id, "--force").returncode == 0
    assert not (runtime.root / container_id).exists()


@only_pyrunc("empties the mount, and says nothing")
def test_what_is_mounted_in_a_state_directory_keeps_its_files(runtime: Runtime, user: OrdinaryUser) -> None:
    """The user may not detach it, and it may hold anything."""
    data = runtime.root / "x/data"
    data.mkdir(parents=True)
    mount("tmpfs", str(data), "tmpfs", 0, f"uid={user.id},gid={user.id},mode=700")
    try:
        (data / "deep").mkdir()
        for name in ("precious", "deep/precious"):
            (data / name).write_text("")
        (runtime.root / "x/journal").write_text('["id","x"]\n')
        for path in (runtime.root, *runtime.root.rglob("*")):
            os.chown(path, user.id, user.id)
        kept = os.open(data, os.O_RDONLY)
        error_text(runtime.delete("x", "--force"), "busy")
        assert sorted(os.listdir(kept)) == ["deep", "precious"]
        os.close(kept)
    finally:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if str(runtime.root) in line:
                umount(line.split()[4])
    assert runtime.delete("x", "--force").returncode == 0  # now what was left goes, too
    assert list(runtime.root.iterdir()) == []
