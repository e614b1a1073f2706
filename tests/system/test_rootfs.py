"""The root file system: read-only root, masked and read-only paths, pivot_root or not, and odd root paths."""

import os
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.runtime import Runtime


@differs(crun="1.28 mounts it as often as it is named")
def test_masked_path_that_is_named_twice_is_mounted_once(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/scsi", "/proc/keys", "/proc/fs", "/proc/fs/", "/proc/fs"]
    del bundle.linux["readonlyPaths"]
    points = [line.split()[4] for line in runtime.output(bundle, "cat /proc/self/mountinfo").splitlines()]
    assert (points.count("/proc/keys"), points.count("/proc/fs")) == (1, 1)


def test_read_only_root(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    bundle.mount("/mnt", "tmpfs", fstype="tmpfs")
    output = runtime.output(bundle, "touch /x 2>&1; touch /mnt/x /dev/shm/x && ls /mnt")
    assert "Read-only file system" in output
    assert output.endswith("\nx\n")
    assert not (bundle.rootfs / "x").exists()
    (bundle.rootfs / "host-can-still-write").touch()


def test_mount_points_are_made_before_the_root_becomes_read_only(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    assert runtime.output(bundle.mount("/a/b", "tmpfs", fstype="tmpfs"), "ls -d /a/b") == "/a/b\n"


@pytest.mark.parametrize("options", [(), ("--no-pivot",)])
def test_old_root_is_out_of_reach(runtime: Runtime, bundle: Bundle, options: tuple[str, ...], area: Path) -> None:
    (area / "outside").touch()
    script = f"ls /.. /../../.. | grep -c outside; ls {area} 2>&1; cat /proc/self/mountinfo; pwd"
    result = runtime.run(bundle.shell(script), *options)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("0\n")
    assert "No such file" in result.stdout


@pytest.mark.parametrize("options", [(), ("--no-pivot",)])
def test_no_proc_is_left_that_nothing_covers(runtime: Runtime, bundle: Bundle, options: tuple[str, ...]) -> None:
    """The kernel lets a user namespace mount one only where it finds one that hides nothing (user_namespaces(7)); the
    container's own has masks."""
    bundle.all_sets("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP")
    script = "busybox unshare -U -r -m -p -f mount -t proc proc /mnt && echo mounted; echo done"
    result = runtime.run(bundle.shell(script), *options)
    assert (result.stdout, "permission denied" in result.stderr) == ("done\n", True), result.stderr


@pytest.mark.parametrize("path", ["/proc/keys", "/etc/secret"])
def test_masked_file(runtime: Runtime, bundle: Bundle, path: str) -> None:
    (bundle.rootfs / "etc/secret").write_text("secret")
    bundle.linux["maskedPaths"] = [path]
    assert runtime.output(bundle, f"cat {path}; stat -c '%t %T' {path}").strip() == "1 3"


def test_masked_directory(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "var/secret").touch()
    bundle.linux["maskedPaths"] = ["/var", "/sys/firmware"]
    output = runtime.output(bundle, "ls -A /var /sys/firmware; touch /var/x 2>&1; ls -A /var")
    assert "secret" not in output
    assert "Read-only file system" in output


BELOW_A_FILE = pytest.param(
    ["/etc/passwd/below"], marks=differs(crun="1.8.1 takes it for an error", runc="1.1.5 takes it for an error")
)


@pytest.mark.parametrize("missing", [["/no/such/file", "/proc/none"], BELOW_A_FILE])
def test_missing_masked_and_read_only_paths_are_skipped(runtime: Runtime, bundle: Bundle, missing: list[str]) -> None:
    bundle.linux.update({"maskedPaths": missing, "readonlyPaths": missing})
    assert runtime.output(bundle, "echo ran") == "ran\n"


@pytest.mark.parametrize("path", ["/var", "/etc/passwd", "/proc/sys"])
def test_read_only_path(runtime: Runtime, bundle: Bundle, path: str) -> None:
    bundle.linux["readonlyPaths"] = [path]
    target = {"/var": "/var/x", "/proc/sys": "/proc/sys/kernel/hostname"}.get(path, path)
    output = runtime.output(
        bundle.all_sets("CAP_SYS_ADMIN"), f"(echo x > {target}) 2>&1; test -r {path} && echo readable"
    )
    assert "Read-only file system" in output
    assert output.endswith("readable\n")


def test_root_as_a_read_only_path(runtime: Runtime, bundle: Bundle) -> None:
    """It is what root.readonly says: what is mounted below stays as it is."""
    bundle.mount("/mnt", "tmpfs", fstype="tmpfs").linux["readonlyPaths"] = ["/", "/etc"]
    output = runtime.output(bundle, "for at in / /etc /mnt; do touch $at/x 2> /dev/null && echo $at; done; true")
    assert output.split() == ["/mnt"]


@differs(crun="1.8.1 leaves what is mounted below as it is", runc="1.1.5 leaves what is mounted below as it is")
def test_read_only_path_with_what_is_mounted_below(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/mnt/inner", "tmpfs", fstype="tmpfs").linux["readonlyPaths"] = ["/mnt"]
    assert "Read-only file system" in runtime.output(bundle, "touch /mnt/inner/x 2>&1; true")


@differs(crun="1.8.1 drops them")
def test_read_only_path_keeps_the_flags_of_the_mount(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/mnt", "tmpfs", "nosuid", "nodev", "noexec", fstype="tmpfs")
    bundle.mount("/mnt/inner", "tmpfs", "nosuid", "nodev", "noexec", fstype="tmpfs")
    bundle.linux["readonlyPaths"] = ["/mnt/inner"]
    lines = runtime.output(bundle, "grep ' /mnt/inner ' /proc/self/mountinfo").splitlines()
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(lines[-1].split()[5].split(","))


@pytest.mark.parametrize("how", ["absolute", "relative", "dotted"])
def test_root_path(runtime: Runtime, bundle: Bundle, how: str) -> None:
    paths = {"absolute": str(bundle.rootfs), "relative": "rootfs", "dotted": "./x/../rootfs/"}
    (bundle.path / "x").mkdir()
    bundle.config["root"]["path"] = paths[how]
    assert runtime.output(bundle, "echo ran") == "ran\n"


@differs(runc="refuses a root that is a symlink")
@pytest.mark.parametrize("absolute", [True, False])
def test_root_path_through_a_symlink(runtime: Runtime, bundle: Bundle, absolute: bool) -> None:
    (bundle.path / "link").symlink_to(bundle.rootfs if absolute else "rootfs")
    bundle.config["root"]["path"] = "link"
    assert runtime.output(bundle, "echo ran") == "ran\n"


def test_bundle_is_the_root(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = "."
    bundle.process["env"] = ["PATH=/rootfs/bin"]
    (bundle.path / "bin").symlink_to("rootfs/bin")
    for name in ("proc", "sys", "dev"):
        (bundle.path / name).mkdir()
    assert runtime.output(bundle, "ls /config.json") == "/config.json\n"


@pytest.mark.parametrize("kind", ["missing", "file", "dangling link"])
def test_bad_root_path(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    path = bundle.path / "bad"
    if kind == "file":
        path.touch()
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    bundle.config["root"]["path"] = "bad"
    message = runtime.create_fails(bundle, "not a directory" if kind == "file" else "bad")
    assert runtime.path.name != "pyrunc" or "(config.json: /root/path)" in message


@pytest.mark.parametrize("name", ["with space", "umläut", "new\nline", "x" * 255, "percent%s", "'quotes\""])
def test_odd_bundle_names(runtime: Runtime, bundle: Bundle, name: str) -> None:
    odd = bundle.path.parent / name
    bundle.path.rename(odd)
    bundle.path, bundle.rootfs = odd, odd / "rootfs"
    with runtime.created(bundle.shell("echo ran")) as container:
        assert container.state()["bundle"] == str(odd)
        assert container.finish() == "ran\n"


def test_relative_bundle(runtime: Runtime, bundle: Bundle) -> None:
    bundle.save("x")
    result = runtime.call("run", "--bundle", bundle.path.name, "--", bundle.path.name, cwd=bundle.path.parent)
    assert result.returncode == 0, result.stderr


def test_nothing_is_written_into_the_root_but_mount_points(runtime: Runtime, bundle: Bundle) -> None:
    def contents() -> set[str]:
        return {os.path.join(place, name) for place, dirs, files in os.walk(bundle.rootfs) for name in dirs + files}

    before = contents()
    runtime.output(bundle, "true")
    assert contents() == before
