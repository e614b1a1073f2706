"""The file system that the container sees: its root, volumes, tmpfs, and what is masked or read-only."""

from __future__ import annotations

import os

from conformance.harness.checks import IMAGE, check, equal, matches, output_checks
from conformance.podman.harness import Podman

ROOT_MOUNTS = "an ordinary user cannot mount on the host"

UNCONFINED = "--security-opt apparmor=unconfined"  # podman's profile forbids what the check does

test_outputs = output_checks(
    "base",
    [
        ("root: writable", "", "echo x >/new && cat /new", "x"),
        ("--read-only", "--read-only", "touch /new 2>&1; true", ".*Read-only file system"),
        ("--read-only: /tmp and /run stay writable", "--read-only", "touch /tmp/a /run/a && echo yes", "yes"),
        (
            "--read-only --read-only-tmpfs=false",
            "--read-only --read-only-tmpfs=false",
            "touch /tmp/a 2>&1; true",
            ".*Read-only file system",
        ),
        (
            "--tmpfs: size and mode",
            "--tmpfs /scratch:size=1m,mode=0710",
            "grep ' /scratch ' /proc/mounts; stat -c %a /scratch",
            "tmpfs /scratch tmpfs rw.*size=1024k.*\n710",
        ),
        (
            "--tmpfs: flags",
            "--tmpfs /scratch:ro,noexec,nosuid,nodev",
            "grep ' /scratch ' /proc/mounts",
            ".* ro,nosuid,nodev,noexec,.*",
        ),
        (
            "--tmpfs: the image's files are copied up",
            "--tmpfs /seed",
            "cat /seed/file; stat -c %u /seed/file",
            "from the image\n1000",
        ),
        ("--tmpfs notmpcopyup", "--tmpfs /seed:notmpcopyup", "ls /seed", ""),
        (
            "--mount type=tmpfs",
            "--mount type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=0700",
            "grep ' /scratch ' /proc/mounts",
            "tmpfs /scratch tmpfs rw.*size=1024k.*mode=700.*",
        ),
        (
            "--mount type=devpts",
            "--mount type=devpts,dst=/pts,max=3",
            "grep ' /pts ' /proc/mounts",
            "devpts /pts devpts .*",
        ),
        ("--shm-size", "--shm-size 1m", "grep ' /dev/shm ' /proc/mounts", ".*size=1024k.*"),
        (
            "/dev/shm: default size, writable by all",
            "--user 1000",
            "grep ' /dev/shm ' /proc/mounts; touch /dev/shm/a",
            ".*nosuid,nodev,noexec.*size=(64000|65536)k.*",
        ),
        (
            "/proc: fresh, with nosuid,nodev,noexec",
            "",
            "grep ' /proc ' /proc/mounts",
            "proc /proc proc rw,nosuid,nodev,noexec.*",
        ),
        ("/sys: read-only", "", "grep ' /sys ' /proc/mounts; touch /sys/kernel/a 2>&1; true", "sysfs /sys sysfs ro,.*"),
        (
            "/sys/fs/cgroup: read-only cgroup2",
            "",
            "grep ' /sys/fs/cgroup ' /proc/mounts",
            "cgroup2? /sys/fs/cgroup cgroup2 ro,.*",
        ),
        ("/dev/mqueue", "", "grep ' /dev/mqueue ' /proc/mounts", "mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec.*"),
        ("masked files read empty", UNCONFINED, "wc -c </proc/kcore; wc -c </proc/keys", "0\n0"),
        (
            "masked folders are empty and read-only",
            "",
            "ls /sys/firmware /proc/scsi; touch /proc/acpi/a 2>&1; true",
            ".*(Read-only file system|nonexistent directory|No such file or directory)",
        ),
        (
            "read-only paths",
            "",
            'for p in sys bus fs irq; do grep -c " /proc/$p proc ro" /proc/mounts; done',
            "1\n1\n1\n1",
        ),
        ("--security-opt mask", "--security-opt mask=/etc/passwd:/seed", "cat /etc/passwd; ls /seed", ""),
        ("--security-opt unmask", "--security-opt unmask=/proc/keys", "grep -c ' /proc/keys ' /proc/mounts; true", "0"),
        ("--security-opt unmask=ALL", "--security-opt unmask=ALL", "grep -c ' /proc/.* ro,' /proc/mounts; true", "0"),
        (
            "--systemd=always: its own cgroup tree is writable",
            "--systemd=always",
            "mkdir /sys/fs/cgroup/sub && rmdir /sys/fs/cgroup/sub && echo yes",
            "yes",
        ),
        (
            "mounts: nothing of the host's tree is left",
            "",
            "grep -c -E 'old|pivot' /proc/mounts; ls / | grep -c old; true",
            "0\n0",
        ),
    ],
)


@check("base", "-v HOST:CONTAINER: read and written on both sides")
def test_volume_rw(podman: Podman) -> None:
    folder = podman.new_folder()
    (folder / "in").write_text("host")
    equal(podman.sh(["-v", f"{folder}:/a/b/c"], "cat /a/b/c/in; echo ctr >/a/b/c/out"), "host")
    equal((folder / "out").read_text(), "ctr\n")


@check("base", "-v HOST:CONTAINER:ro")
def test_volume_ro(podman: Podman) -> None:
    folder = podman.new_folder()
    (folder / "in").write_text("host\n")
    output = podman.sh(["-v", f"{folder}:/a:ro"], "cat /a/in; touch /a/out 2>&1; true")
    matches(output, "host\n.*Read-only file system")


@check("base", "-v: a file; flags")
def test_volume_file(podman: Podman) -> None:
    path = podman.new_file("host\n")
    output = podman.sh(["-v", f"{path}:/etc/passwd:ro,nosuid,nodev,noexec"], "cat /etc/passwd; cat /proc/mounts")
    matches(output, "host\n.* /etc/passwd [^ ]* ro,nosuid,nodev,noexec.*")


@check("base", "-v: one volume inside the other, whatever the order")
def test_volume_nested(podman: Podman) -> None:
    outer, inner = podman.new_folder(), podman.new_folder()
    (inner / "deep").write_text("deep\n")
    options = ["-v", f"{inner}:/outer/inner:ro", "-v", f"{outer}:/outer"]
    equal(podman.sh(options, "cat /outer/inner/deep; touch /outer/a; ls /outer"), "deep\na\ninner")


@check("base", "-v: a link in the image is followed inside the root only")
def test_volume_link(podman: Podman) -> None:
    folder = podman.new_folder()
    options = ["-v", f"{folder}:/link", "-v", f"{folder}:/escape/sub"]
    output = podman.sh(options, "grep -oE ' /seed(/sub)? ' /proc/mounts | sort -u")
    equal(output.split(), ["/seed", "/seed/sub"])


@check("base", "-v with a comma and a blank in the names")
def test_volume_odd_names(podman: Podman) -> None:
    folder = podman.new_folder() / "a b"
    folder.mkdir()
    (folder / "in").write_text("odd")
    equal(podman.sh(["-v", f"{folder}:/x y"], "cat '/x y/in'"), "odd")


@check("base", "-v :U: owned by the container's user")
def test_volume_chown(podman: Podman) -> None:
    folder = podman.new_folder()
    equal(podman.sh(["--user", "1000:1000", "-v", f"{folder}:/a:U"], "stat -c %u:%g /a"), "1000:1000")


ROOT_MAPS = "an ordinary user has no privilege over the host's file systems"


@check("base", "-v :idmap: the host's ids are the container's", rootful_only=ROOT_MAPS)
def test_volume_idmap(podman: Podman) -> None:
    folder = podman.new_folder()
    os.chown(folder, 0, 7)
    options = ["--uidmap", "0:200000:5000", "-v", f"{folder}:/a:idmap"]
    equal(podman.sh(options, "stat -c %u:%g /a; touch /a/new"), "0:7")
    equal(((folder / "new").stat().st_uid, (folder / "new").stat().st_gid), (0, 0))


@check("base", "-v :idmap=uids=...;gids=...: ranges, on the host or in the container", rootful_only=ROOT_MAPS)
def test_volume_idmap_ranges(podman: Podman) -> None:
    folder = podman.new_folder()
    os.chown(folder, 3, 7)
    for word in ("idmap=uids=0-200010-5;gids=7-200070-1", "idmap=uids=@0-10-5;gids=@7-70-1"):
        options = ["--uidmap", "0:200000:5000", "-v", f"{folder}:/a:{word}"]
        equal(podman.sh(options, "stat -c %u:%g /a"), "13:70")


@check("base", "--mount type=bind,no-dereference: a link is made, not followed")
def test_mount_link(podman: Podman) -> None:
    podman.need(5, "no-dereference")
    link = podman.new_folder() / "link"
    link.symlink_to("/etc")  # podman wants it to lead somewhere on the host
    mount = f"type=bind,src={link},dst=/made,no-dereference"
    equal(podman.sh(["--mount", mount], "readlink /made; ls -d /made/passwd"), "/etc\n/made/passwd")


@check("base", "-v :z and :Z: accepted where there is no SELinux")
def test_volume_relabel(podman: Podman) -> None:
    one, two = podman.new_folder(), podman.new_folder()
    equal(podman.sh(["-v", f"{one}:/a:z", "-v", f"{two}:/b:Z"], "touch /a/x /b/x; ls /a /b"), "/a:\nx\n\n/b:\nx")


@check("base", "-v :O: changes do not reach the host")
def test_volume_overlay(podman: Podman) -> None:
    folder = podman.new_folder()
    (folder / "in").write_text("host")
    equal(podman.sh(["-v", f"{folder}:/a:O"], "cat /a/in; echo x >/a/new; ls /a"), "hostin\nnew")
    equal(sorted(path.name for path in folder.iterdir()), ["in"])


@check("base", "--mount type=bind: read-only, not recursive")
def test_mount_bind(podman: Podman) -> None:
    folder = podman.new_folder()
    options = ["--mount", f"type=bind,src={folder},dst=/a,ro,bind-nonrecursive"]
    matches(podman.sh(options, "touch /a/x 2>&1; true"), ".*Read-only file system")


@check("base", "named volume: the image's files are copied up, and it outlives its containers")
def test_named_volume(podman: Podman) -> None:
    name = podman.new_volume()
    equal(podman.sh(["-v", f"{name}:/seed"], "cat /seed/file; echo more >/seed/more"), "from the image")
    equal(podman.sh(["--mount", f"type=volume,src={name},dst=/a"], "ls /a; stat -c %u /a/file"), "file\nmore\n1000")
    equal(podman.sh(["-v", f"{name}:/a:ro"], "touch /a/x 2>/dev/null || echo refused"), "refused")


@check("base", "anonymous volume and --volumes-from")
def test_volumes_from(podman: Podman) -> None:
    name = podman.start(["-v", "/data"], "sh", "-c", "echo shared >/data/f; sleep 1000")
    script = "until [ -s /data/f ]; do sleep 0.1; done; cat /data/f"
    equal(podman.sh(["--volumes-from", name], script), "shared")


def propagation(podman: Podman, word: str) -> str:
    """The optional fields in the container's mountinfo of a volume with this propagation."""
    folder = podman.new_folder()
    podman.host_mount(folder, "-o", "mode=0777")
    line = podman.sh(["-v", f"{folder}:/a:{word}"], "grep ' /a ' /proc/self/mountinfo")
    return " ".join(line.split(" - ")[0].split()[6:])


@check("base", "-v: propagation private, slave and shared, as mountinfo shows it", rootful_only=ROOT_MOUNTS)
def test_propagation_fields(podman: Podman) -> None:
    equal(propagation(podman, "private"), "", "private")
    matches(propagation(podman, "slave"), r"master:\d+", "slave")
    matches(propagation(podman, "rslave"), r"master:\d+", "rslave")
    matches(propagation(podman, "shared"), r"shared:\d+", "shared")
    matches(propagation(podman, "rshared"), r"shared:\d+", "rshared")
    equal(propagation(podman, "rprivate"), "", "rprivate")


@check("base", "-v :rslave: the container sees what the host mounts later", rootful_only=ROOT_MOUNTS)
def test_slave_receives(podman: Podman) -> None:
    folder = podman.new_folder()
    podman.host_mount(folder)
    (folder / "sub").mkdir()
    script = "echo up; until grep -q ' /a/sub ' /proc/mounts; do sleep 0.1; done; cat /proc/mounts | grep -c /a/sub"
    name = podman.start(["-v", f"{folder}:/a:rslave"], "sh", "-c", script)
    podman.logs_until(name, "up")
    podman.host_mount(folder / "sub")
    equal(podman("wait", name), "0")
    equal(podman("logs", name), "up\n1")


@check("base", "-v :rshared: the host sees what the container mounts", rootful_only=ROOT_MOUNTS)
def test_shared_sends(podman: Podman) -> None:
    folder = podman.new_folder()
    podman.host_mount(folder)
    (folder / "sub").mkdir()
    options = ["--cap-add", "sys_admin", *UNCONFINED.split(), "-v", f"{folder}:/a:rshared"]
    podman.sh(options, "mount -t tmpfs -o size=1m none /a/sub && touch /a/sub/made")
    equal((folder / "sub/made").exists(), True, "the container's mount on the host")
    podman.host_mount(folder / "sub", "-o", "remount,size=2m")


@check("base", "-v: recursive by default; :bind takes only the top", rootful_only=ROOT_MOUNTS)
def test_recursion(podman: Podman) -> None:
    folder = podman.new_folder()
    podman.host_mount(folder)
    (folder / "sub").mkdir()
    podman.host_mount(folder / "sub")
    (folder / "sub/deep").write_text("")
    equal(podman.run(["-v", f"{folder}:/a"], "ls", "/a/sub"), "deep", "rbind")
    equal(podman.run(["-v", f"{folder}:/a:bind"], "ls", "/a/sub"), "", "bind")


@check("base", "--mount type=image")
def test_mount_image(podman: Podman) -> None:
    equal(podman.sh(["--mount", f"type=image,src={IMAGE},dst=/a"], "cat /a/seed/file"), "from the image")
