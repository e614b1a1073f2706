"""An ordinary user's containers: which ids they have, with newuidmap, without it, and what is refused."""

import json

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import prctl
from tests.ordinaryuser import GRANTED, OrdinaryUser, replaced
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text

PR_SET_NO_NEW_PRIVS = 38
MAPS = "cat /proc/self/uid_map /proc/self/gid_map"
RUNC_WANTS_ROOT = "1.1.5 wants id 0 mapped"
RUNC_WANTS_A_NAMESPACE = "1.1.5 refuses a config without a user namespace"
CRUN_MAPS_HALF = "1.8.1 takes the first line of the name alone"
TELLS = "says it in its own way, or after it has begun"


@pytest.fixture
def own(bundle: Bundle, user: OrdinaryUser) -> Bundle:
    """A bundle of the user's, without the mounts that need a network namespace's owner or a cgroup."""
    user.own(bundle).drop_mounts("/sys/fs/cgroup")
    for entry in bundle.config["mounts"]:
        entry["options"] = [word for word in entry["options"] if not word.startswith("gid=")]
    return bundle


def run(runtime: Runtime, bundle: Bundle, script: str) -> list[list[str]]:
    """The lines, as words, that a script prints in a container of the user's."""
    result = runtime.run(bundle.shell(script))
    assert result.returncode == 0, result.stderr
    return [line.split() for line in result.stdout.splitlines()]


def explicit(bundle: Bundle, uids: list[tuple[int, int, int]], gids: list[tuple[int, int, int]]) -> Bundle:
    """Ask for a user namespace with these ranges: first inside, first outside, how many."""
    bundle.namespace("user")
    for key, ranges in (("uidMappings", uids), ("gidMappings", gids)):
        bundle.linux[key] = [
            {"containerID": inside, "hostID": outside, "size": count} for inside, outside, count in ranges
        ]
    return bundle


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_gets_a_user_namespace_with_all_his_ids(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    own.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [7]}
    lines = run(runtime, own, f"{MAPS}; id -u; id -G; cat /proc/self/setgroups")
    maps = [["0", str(user.id), "1"], ["1", str(GRANTED[0]), str(GRANTED[1])]]
    assert lines == [*maps, *maps, ["0"], ["0", "7"], ["allow"]]


@differs(runc="1.5.3 refuses it")
def test_user_namespace_without_mappings(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    maps = [["0", str(user.id), "1"], ["1", str(GRANTED[0]), str(GRANTED[1])]]
    assert run(runtime, own.namespace("user"), MAPS) == [*maps, *maps]


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_without_any_environment(runtime: Runtime, own: Bundle) -> None:
    result = runtime.run(own.shell(MAPS), env={})
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 4


@differs(runc=RUNC_WANTS_A_NAMESPACE, crun=CRUN_MAPS_HALF)
def test_lines_by_name_and_by_number(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    user.grant("somebody:1:5", f"{user.name}:200000:10", f"{user.id}:300000:20", "nonsense", f"{user.name}:205000:0")
    maps = [["0", str(user.id), "1"], ["1", "200000", "10"], ["11", "300000", "20"]]
    assert run(runtime, own, MAPS) == [*maps, *maps]


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_files_belong_to_the_subordinate_ids(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    own.all_sets("CAP_CHOWN")
    run(runtime, own, "touch /mine /other && chown 5:6 /other")
    mine, other = (own.rootfs / name for name in ("mine", "other"))
    assert (mine.stat().st_uid, mine.stat().st_gid) == (user.id, user.id)
    assert (other.stat().st_uid, other.stat().st_gid) == (GRANTED[0] + 4, GRANTED[0] + 5)


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_without_subordinate_ids_one_is_mapped(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    user.grant()
    single = ["0", str(user.id), "1"]
    assert run(runtime, own, f"{MAPS}; cat /proc/self/setgroups") == [single, single, ["deny"]]


@only_pyrunc(TELLS)
def test_the_warning_says_what_gives_more_ids(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    user.grant()
    result = runtime.run(own)
    assert result.returncode == 0
    assert f"has no line for you; add one as root: `usermod --add-subuids FIRST-LAST {user.name}`" in result.stderr


@only_pyrunc(TELLS)
@pytest.mark.parametrize("helper", ["newuidmap", "newgidmap"])
def test_without_a_helper_one_is_mapped(runtime: Runtime, own: Bundle, user: OrdinaryUser, helper: str) -> None:
    with replaced(helper, user.home):
        result = runtime.run(own.shell(MAPS))
    assert (result.returncode, result.stdout.split()) == (0, ["0", str(user.id), "1"] * 2), result.stderr
    assert f"{helper} is not installed; install the package `uidmap`" in result.stderr


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_a_helper_without_privilege_leaves_one(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    result = runtime.run(own.shell(MAPS), preexec_fn=lambda: prctl(PR_SET_NO_NEW_PRIVS, 1))
    assert (result.returncode, result.stdout.split()) == (0, ["0", str(user.id), "1"] * 2), result.stderr
    assert "newuidmap" in result.stderr
    if runtime.path.name == "pyrunc":
        assert "the container has one gid and one uid, yours" in result.stderr


@differs(runc=RUNC_WANTS_A_NAMESPACE, crun="1.8.1 wants id 0 mapped then")
@pytest.mark.parametrize("grants", [True, False])
def test_the_one_id_is_the_process_s(runtime: Runtime, own: Bundle, user: OrdinaryUser, grants: bool) -> None:
    if not grants:
        user.grant()
    own.process["user"] = {"uid": 5, "gid": 6}
    result = runtime.run(own.shell(MAPS), preexec_fn=lambda: prctl(PR_SET_NO_NEW_PRIVS, 1))  # newuidmap cannot do it
    assert (result.returncode, result.stdout.split()) == (0, ["5", str(user.id), "1", "6", str(user.id), "1"])


@only_pyrunc(TELLS)
def test_groups_for_which_the_one_id_that_is_left_does_not_do(runtime: Runtime, own: Bundle) -> None:
    own.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [5]}
    runtime.create_fails(
        own, "gid 5 is not mapped", "additionalGids/0", "newuidmap", preexec_fn=lambda: prctl(PR_SET_NO_NEW_PRIVS, 1)
    )


@differs(runc=RUNC_WANTS_A_NAMESPACE, crun="1.8.1 maps him in the place of an id that it does not give")
def test_a_user_that_is_not_mapped_is_refused(runtime: Runtime, own: Bundle) -> None:
    own.process["user"] = {"uid": GRANTED[1] + 1, "gid": 0}
    own.shell("echo ran")
    result = runtime.run(own)
    assert result.returncode != 0
    assert "ran" not in result.stdout


@only_pyrunc(TELLS)
@pytest.mark.parametrize(
    ("key", "value"), [("uid", GRANTED[1] + 1), ("gid", GRANTED[1] + 1), ("additionalGids/1", GRANTED[1] + 1)]
)
def test_which_id_is_not_mapped(runtime: Runtime, own: Bundle, key: str, value: int) -> None:
    own.process["user"] = {"uid": 0, "gid": 0} | ({key: value} if "/" not in key else {"additionalGids": [5, value]})
    runtime.create_fails(own, f"{value} is not mapped", f"/process/user/{key}", f"0, 1-{GRANTED[1]}")


@differs(crun="1.8.1 does not set them, and says nothing")
def test_additional_groups_with_one_group_are_refused(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    # Or a process could leave a group that keeps it from a file (CVE-2014-8989).
    single = [(0, user.id, 1)]
    own.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [0]}
    message = runtime.create_fails(explicit(own, single, single))
    if runtime.path.name == "pyrunc":
        assert "/process/user/additionalGids" in message


@only_pyrunc(TELLS)
def test_exec_with_additional_groups_and_one_group(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    single = [(0, user.id, 1)]
    explicit(own, single, single)
    with runtime.running(own.shell("exec sleep 1000")) as container:
        refused = runtime.call("exec", "--additional-gids", "0", container.id, "true")
        error_text(refused, "additional groups cannot be set")
        assert runtime.call("exec", container.id, "true").returncode == 0


def test_one_id_without_newuidmap(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    single = [(0, user.id, 1)]
    explicit(own, single, single).drop_mounts("/sys")
    with replaced("newuidmap", user.home), replaced("newgidmap", user.home):
        lines = run(runtime, own.share("network"), f"{MAPS}; cat /proc/self/setgroups")
    assert lines == [["0", str(user.id), "1"]] * 2 + [["deny"]]


@differs(runc=RUNC_WANTS_ROOT)
@pytest.mark.parametrize(("uid", "gid"), [(1000, 1000), (1000, 0), (0, 1000)])
def test_one_id_that_is_not_roots(runtime: Runtime, own: Bundle, user: OrdinaryUser, uid: int, gid: int) -> None:
    explicit(own, [(uid, user.id, 1)], [(gid, user.id, 1)])
    own.process["user"] = {"uid": uid, "gid": gid}
    lines = run(runtime, own, "id -u; id -g; touch /made; stat -c '%u %g' /made /dev/shm; echo x > /dev/null; echo $?")
    assert lines == [[str(uid)], [str(gid)], *[[str(uid), str(gid)]] * 2, ["0"]]


@differs(runc=RUNC_WANTS_ROOT, crun="1.8.1 wants the group 0 mapped for exec")
def test_exec_with_one_id_that_is_not_roots(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    explicit(own, [(1000, user.id, 1)], [(1000, user.id, 1)])
    own.process["user"] = {"uid": 1000, "gid": 1000}
    with runtime.running(own.shell("exec sleep 1000")) as container:
        assert runtime.call("exec", container.id, "id", "-u").stdout == "1000\n"
        error_text(runtime.call("exec", "--user", "1:1", container.id, "true"), "1 is not mapped")


@differs(runc="1.1.5 sets no additional groups for ordinary users")
def test_granted_ranges(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    ranges = [(0, user.id, 1), (1, GRANTED[0], 10), (100, GRANTED[0] + 50, 5)]
    own.process["user"] = {"uid": 3, "gid": 4, "additionalGids": [101]}
    maps = [[str(number) for number in one] for one in ranges]
    assert run(runtime, explicit(own, ranges, ranges), MAPS) == [*maps, *maps]


@only_pyrunc(TELLS)
@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_a_range_that_is_not_granted(runtime: Runtime, own: Bundle, user: OrdinaryUser, kind: str) -> None:
    good = [(0, user.id, 1), (1, GRANTED[0], 10)]
    bad = [(0, user.id, 1), (1, GRANTED[0] + GRANTED[1] - 5, 10)]
    explicit(own, bad if kind == "uid" else good, bad if kind == "gid" else good)
    asked = f"{GRANTED[0] + GRANTED[1] - 5}-{GRANTED[0] + GRANTED[1] + 4}"
    line = f"{user.name}:{GRANTED[0]}:{GRANTED[1]}"
    runtime.create_fails(
        own, f"{kind}s {asked} of the host", f"/etc/sub{kind} has `{line}`", f"/linux/{kind}Mappings/1",
        f"`usermod --add-sub{kind}s {asked} {user.name}`",
    )  # fmt: skip


@only_pyrunc(TELLS)
def test_a_range_without_newuidmap(runtime: Runtime, own: Bundle, user: OrdinaryUser) -> None:
    ranges = [(0, user.id, 1), (1, GRANTED[0], 10)]
    with replaced("newuidmap", user.home):
        runtime.create_fails(explicit(own, ranges, ranges), "newuidmap is needed", "/linux/uidMappings", "uidmap")


@pytest.mark.parametrize("command", ["spec", "spec --rootless"])
def test_spec_as_it_is(runtime: Runtime, bundle: Bundle, user: OrdinaryUser, command: str) -> None:
    if command == "spec" and runtime.path.name == "runc":
        pytest.skip(RUNC_WANTS_A_NAMESPACE)
    result = runtime.call(*command.split(), cwd=user.own(bundle).path)
    assert result.returncode == 0, result.stderr
    bundle.config = json.loads((bundle.path / "config.json").read_text())
    bundle.process["terminal"] = False
    lines = run(runtime, bundle, "id -u; ls -d /sys/kernel; mount | grep ' on /sys'")
    assert lines[:2] == [["0"], ["/sys/kernel"]]
    if runtime.path.name == "pyrunc":  # the peers leave what is below it writable, and under it
        assert all("ro" in words[5].strip("()").split(",") for words in lines[2:]), lines
        assert [words[4] for words in lines if words[2:3] == ["/sys/fs/cgroup"]][-1] == "cgroup2"


@only_pyrunc(TELLS)
def test_id_mapped_mounts_and_network_devices_take_privilege(runtime: Runtime, own: Bundle) -> None:
    own.linux["netDevices"] = {"eth0": {}}
    runtime.create_fails(own, "CAP_NET_ADMIN", "/linux/netDevices")
    own.linux["netDevices"] = {}
    own.namespace("user")
    for key in ("uidMappings", "gidMappings"):
        own.linux[key] = [{"containerID": 0, "hostID": GRANTED[0], "size": 10}]
    runtime.create_fails(own.mount("/mnt", "/tmp", "bind", "idmap"), "needs root's privilege", "/options/1)")
