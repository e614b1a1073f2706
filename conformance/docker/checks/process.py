"""What the container's process sees: user, environment, mounts, namespaces, as docker's options say."""

from __future__ import annotations

from conformance.docker.harness import Docker
from conformance.harness.checks import check, equal, matches, output_checks

HOST_NAMESPACES = "cd /proc; for kind in cgroup ipc mnt net pid uts; do readlink self/ns/$kind; done"

test_outputs = output_checks(
    "base",
    [
        ("--user: numbers", "--user 10:20", "echo $(id -u):$(id -g)", "10:20"),
        ("--user: a name of the image, with its groups", "--user ann", "id -u; id -G", "1000\n1000 4000"),
        ("--group-add", "--group-add 77 --user 10", "id -G", "0 77|77|10 77"),
        ("--env, --workdir: made if missing", "-e FIVE=5 --workdir /new/folder", "echo $FIVE $(pwd)", "5 /new/folder"),
        ("HOME and PATH", "--user ann", "echo $HOME $PATH", "/tmp /bin"),
        (
            "--hostname, --domainname",
            "--hostname box --domainname lan",
            "hostname; cat /proc/sys/kernel/domainname",
            "box\nlan",
        ),
        ("--ulimit", "--ulimit nofile=64:128", "ulimit -Sn; ulimit -Hn", "64\n128"),
        (
            "--sysctl",
            "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=9000",
            "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
            "1\n9000",
        ),
        ("--oom-score-adj", "--oom-score-adj 77", "cat /proc/self/oom_score_adj", "77"),
        ("--shm-size", "--shm-size 8m", "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2", "8192"),
        (
            "--tmpfs with options",
            "--tmpfs /t:size=4m,mode=700,noexec",
            "grep ' /t ' /proc/mounts; stat -c %a /t",
            "tmpfs /t tmpfs rw,nosuid,nodev,noexec,relatime,size=4096k,mode=700.*\n700",
        ),
        ("--tmpfs: the image's files do not show", "--tmpfs /seed", "ls /seed | wc -l", "0"),
        (
            "--read-only: the root is, a tmpfs is not",
            "--read-only --tmpfs /t",
            "echo x >/t/x && (echo x >/x) 2>&1; true",
            ".*Read-only file system",
        ),
        (
            "--mount type=tmpfs",
            "--mount type=tmpfs,destination=/t,tmpfs-size=4194304",
            "grep -c '^tmpfs /t .*size=4096k' /proc/mounts",
            "1",
        ),
        (
            "--volume: an anonymous one gets the image's files and owner",
            "--volume /seed",
            "cat /seed/file; stat -c '%u %a' /seed",
            "from the image\n1000 750",
        ),
        (
            "devices: those of every container and no other",
            "",
            "cd /dev; ls -d full null ptmx pts random shm tty urandom zero; ls -d kmsg mem sda 2>/dev/null; true",
            "full\nnull\nptmx\npts\nrandom\nshm\ntty\nurandom\nzero",
        ),
        (
            "/etc/hosts, hostname, resolv.conf are docker's",
            "--hostname box",
            "cat /etc/hostname; grep -c '^127.0.0.1.*localhost' /etc/hosts; [ -s /etc/resolv.conf ] && echo yes",
            "box\n1\nyes",
        ),
        ("descriptors: no more than 0, 1, 2", "", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ?"),
        ("a session keyring of its own, or none", "", "cat /proc/keys 2>/dev/null | wc -l", "[0-9]*"),
    ],
)


@check("base", "--volume: read-write, :ro, and what is mounted below is read-only as well")
def test_volumes(docker: Docker) -> None:
    folder = docker.new_folder()
    (folder / "below").mkdir()
    docker.host_mount(folder / "below")
    script = "echo written >/v/file; (echo x >/r/file) 2>&1; (echo x >/r/below/file) 2>&1; cat /r/file"
    output = docker.sh(["-v", f"{folder}:/v", "-v", f"{folder}:/r:ro"], script)
    matches(output, "(.*Read-only file system\n){2}written")


@check("base", "--volume: a named one keeps its files; volumes-from")
def test_named_volume(docker: Docker) -> None:
    volume = docker.new_volume()
    docker.sh(["-v", f"{volume}:/v"], "echo kept >/v/file")
    name = docker.create(["-v", f"{volume}:/v"], "true")
    equal(docker.run(["--volumes-from", name], "cat", "/v/file"), "kept")


@check("base", "--mount bind-propagation: rslave gets what is mounted later, private does not")
def test_propagation(docker: Docker) -> None:
    folder = docker.new_folder()
    docker.host_mount(folder)
    (folder / "later").mkdir()
    sleepers = {
        kind: docker.start(["--mount", f"type=bind,src={folder},dst=/v,bind-propagation={kind}"], "sleep", "1000")
        for kind in ("rslave", "rprivate")
    }
    docker.host_mount(folder / "later")
    (folder / "later/file").write_text("")
    seen = {kind: docker("exec", name, "ls", "/v/later") for kind, name in sleepers.items()}
    equal(seen, {"rslave": "file", "rprivate": ""})
    for name in sleepers.values():
        docker("rm", "--force", name)


@check("base", "namespaces: own ones by default, the host's where asked for, another container's")
def test_namespaces(docker: Docker) -> None:
    from pathlib import Path

    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    host = [str(Path("/proc/self/ns", kind).readlink()) for kind in kinds]
    own = docker.sh([], HOST_NAMESPACES).split()
    equal(
        [kind for kind, mine, theirs in zip(kinds, own, host, strict=True) if mine == theirs],
        [],
        "shared with the host",
    )
    words = ["--pid", "host", "--ipc", "host", "--network", "host", "--uts", "host", "--cgroupns", "host"]
    shared = docker.sh(words, HOST_NAMESPACES).split()
    equal([kind for kind, mine, theirs in zip(kinds, shared, host, strict=True) if mine != theirs], ["mnt"], "own")
    name = docker.start(["--ipc", "shareable"], "sleep", "1000")
    words = [f"--pid=container:{name}", f"--ipc=container:{name}", f"--network=container:{name}"]
    equal(docker.sh(words, "[ /proc/1/ns/pid -ef /proc/self/ns/pid ] && cat /proc/1/comm"), "sleep")


@check("base", "--device: it is there with its rights, and may be used")
def test_device(docker: Docker) -> None:
    equal(
        docker.sh(["--device", "/dev/net/tun:/dev/mine:rw"], "[ -c /dev/mine ] && : <>/dev/mine && echo open"), "open"
    )
