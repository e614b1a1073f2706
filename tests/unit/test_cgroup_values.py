"""linux.resources to cgroup v2 files: every conversion against a table."""

import pytest
from pyrunc.cgroup import values
from pyrunc.errors import ConfigError
from pyrunc.spec.reader import Reader
from pyrunc.spec.resources import Resources

GIB = 1 << 30


def convert(resources, current=None):
    """([(file, value)], warnings) for resources as config.json words them and the texts that the files have now."""
    warnings = []
    parsed = Resources(Reader(resources, "/linux/resources"))
    wanted = values.settings(parsed, warnings.append, None if current is None else current.get)
    return [(setting.file, setting.value) for setting in wanted], warnings


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 0), (1, 1), (2, 1), (3, 2), (102, 17), (512, 59), (1024, 100), (2048, 174), (262144, 10000),
     (2**64 - 1, 10000)],
)  # fmt: skip
def test_shares_become_weight(shares, weight):
    assert values.shares_to_weight(shares) == weight


def test_shares_keep_their_order():
    weights = [values.shares_to_weight(shares) for shares in range(2, 262145, 86)]
    assert weights == sorted(weights)
    assert (weights[0], max(weights)) == (1, 10000)


@pytest.mark.parametrize(("blkio", "weight"), [(0, 0), (10, 1), (100, 910), (500, 4950), (1000, 10000)])
def test_blkio_weight_becomes_io_weight(blkio, weight):
    assert values.blkio_to_io_weight(blkio) == weight


@pytest.mark.parametrize(
    ("limit", "swap", "expected"),
    [
        (None, None, None), (GIB, None, None), (GIB, 0, None), (-1, None, -1), (-1, 0, -1), (GIB, -1, -1),
        (0, None, None), (0, -1, -1), (-1, GIB, GIB), (GIB, GIB, 0), (GIB, 3 * GIB, 2 * GIB), (None, -1, -1),
    ],
)  # fmt: skip
def test_swap_is_memory_and_swap_together(limit, swap, expected):
    assert values.swap_max(limit, swap) == expected


@pytest.mark.parametrize(("limit", "swap"), [(None, GIB), (0, GIB), (GIB, GIB - 1)])
def test_swap_that_cannot_be_computed(limit, swap):
    with pytest.raises(ConfigError, match="memory plus swap") as caught:
        convert({"memory": {"limit": limit, "swap": swap}})
    assert caught.value.pointer == "/linux/resources/memory/swap"


@pytest.mark.parametrize(("limit", "swap"), [(None, 1), (0, 1), (0, GIB), (2, 1)])
def test_swap_needs_a_limit_that_it_can_be_above(limit, swap):
    with pytest.raises(ValueError, match="memory plus swap"):
        values.swap_max(limit, swap)


@pytest.mark.parametrize(
    ("quota", "period", "present", "expected"),
    [
        (None, None, None, None), (0, 0, None, None), (50000, None, None, "50000 100000"),
        (-1, None, None, "max 100000"), (50000, 200000, None, "50000 200000"), (None, 20000, None, "max 20000"),
        (None, 20000, "9000 100000\n", "9000 20000"),
        (7000, None, "9000 50000\n", "7000 50000"), (-1, None, "9000 50000\n", "max 50000"),
    ],
)  # fmt: skip
def test_cpu_max(quota, period, present, expected):
    assert values.cpu_max(quota, period, present) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"memory": {"limit": 0, "reservation": 0, "swap": 0}}, []),
        ({"memory": {"limit": GIB}}, [("memory.max", "1073741824")]),
        ({"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"memory": {"reservation": GIB}}, [("memory.low", "1073741824")]),
        ({"memory": {"reservation": -1}}, [("memory.low", "max")]),
        ({"memory": {"disableOOMKiller": False, "useHierarchy": True}}, []),
        ({"cpu": {"shares": 1024}}, [("cpu.weight", "100")]),
        ({"cpu": {"shares": 0, "quota": 0, "period": 0}}, []),
        ({"cpu": {"idle": 0, "shares": 2}}, [("cpu.idle", "0"), ("cpu.weight", "1")]),
        ({"cpu": {"cpus": "0-1,3", "mems": "0"}}, [("cpuset.cpus", "0-1,3"), ("cpuset.mems", "0")]),
        (
            {"cpu": {"quota": 50000, "period": 20000, "burst": 1000}},
            [("cpu.max", "50000 20000"), ("cpu.max.burst", "1000")],
        ),
        ({"cpu": {"realtimeRuntime": 0, "realtimePeriod": 0}}, []),
        ({"cpu": {"idle": 1}}, [("cpu.idle", "1")]),
        ({"pids": {}}, []),
        ({"pids": {"limit": 0}}, [("pids.max", "0")]),
        ({"pids": {"limit": -1}}, [("pids.max", "max")]),
        ({"pids": {"limit": 42}}, [("pids.max", "42")]),
        ({"blockIO": {"weight": 0}}, []),
        ({"blockIO": {"weight": 100}}, [("io.bfq.weight", "100")]),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 500}]}}, [("io.bfq.weight", "8:0 500")]),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 1048576}],
                         "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]}},
            [("io.max", "8:16 rbps=1048576"), ("io.max", "8:16 wiops=max")],
        ),
        (
            {"blockIO": {"throttleWriteBpsDevice": [{"major": 1, "minor": 2, "rate": 3}],
                         "throttleReadIOPSDevice": [{"major": 1, "minor": 2, "rate": 4}]}},
            [("io.max", "1:2 wbps=3"), ("io.max", "1:2 riops=4")],
        ),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]},
            [("hugetlb.2MB.rsvd.max", "4194304"), ("hugetlb.2MB.max", "4194304")],
        ),
        ({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 0}}}, [("rdma.max", "mlx5_1 hca_handle=3 hca_object=0")]),
        ({"rdma": {"mlx4_0": {"hcaObjects": 9}}}, [("rdma.max", "mlx4_0 hca_object=9")]),
        ({"network": {"classID": 0}}, []),
        ({"unified": {"memory.high": "max", "misc.max": "res_a 3"}}, [("memory.high", "max"), ("misc.max", "res_a 3")]),
        ({"unified": {"io.max": "8:0 rbps=1\n8:16 wbps=2\n"}}, [("io.max", "8:0 rbps=1"), ("io.max", "8:16 wbps=2")]),
        ({"unified": {"cpuset.cpus": ""}}, [("cpuset.cpus", "")]),
        ({"pids": {"limit": 1}, "unified": {"pids.max": "7"}}, [("pids.max", "1"), ("pids.max", "7")]),
    ],
)  # fmt: skip
def test_settings_of_a_new_cgroup(resources, expected):
    assert convert(resources) == (expected, [])


LIMITS = {"memory": {"limit": GIB, "swap": 2 * GIB}}
SWAP_FIRST = [("memory.swap.max", str(GIB)), ("memory.max", str(GIB))]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, SWAP_FIRST),
        ({"memory.max": "max\n"}, SWAP_FIRST),
        ({"memory.max": f"{2 * GIB}\n"}, SWAP_FIRST),
        ({"memory.max": f"{GIB // 2}\n"}, SWAP_FIRST[::-1]),
    ],
)
def test_order_of_memory_and_swap(now, expected):
    assert convert(LIMITS, now)[0] == expected


def test_swap_alone_is_computed_from_the_present_limit():
    assert convert({"memory": {"swap": 3 * GIB}}, {"memory.max": f"{GIB}\n"})[0] == [("memory.swap.max", str(2 * GIB))]


def test_limit_alone_leaves_swap_alone():
    assert convert({"memory": {"limit": GIB}}, {"memory.max": "4096\n"})[0] == [("memory.max", str(GIB))]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, ["cpu.max", "cpu.max.burst"]),
        ({"cpu.max": "9000 100000\n", "cpu.max.burst": "0\n"}, ["cpu.max", "cpu.max.burst"]),
        ({"cpu.max": "90000 100000\n", "cpu.max.burst": "19999\n"}, ["cpu.max", "cpu.max.burst"]),
        ({"cpu.max": "90000 100000\n", "cpu.max.burst": "20000\n"}, ["cpu.max.burst", "cpu.max"]),
        ({"cpu.max": "90000 100000\n", "cpu.max.burst": "80000\n"}, ["cpu.max.burst", "cpu.max"]),
    ],
)
def test_burst_never_exceeds_the_quota(now, expected):
    wanted, _ = convert({"cpu": {"quota": 50000, "burst": 20000}}, now)
    assert [file for file, _ in wanted] == expected


@pytest.mark.parametrize(("burst", "first"), [(0, "cpu.max.burst"), (1, "cpu.max")])
def test_burst_of_a_new_cgroup_is_0(burst, first):
    assert convert({"cpu": {"quota": 5, "burst": burst}})[0][0][0] == first


@pytest.mark.parametrize(
    ("memory", "usage", "refused"),
    [
        ({"limit": 1}, "8192\n", True), ({"limit": 0}, "8192\n", False), ({"limit": 1}, None, False),
        ({}, "8192\n", False),
        ({"limit": 4096}, "8192\n", True), ({"limit": 8192}, "8192\n", True), ({"limit": 8193}, "8192\n", False),
        ({"limit": -1}, "8192\n", False), ({"limit": 9000, "swap": 9000}, "8192\n", False),
    ],
)  # fmt: skip
def test_check_before_update(memory, usage, refused):
    resources = {"memory": {**memory, "checkBeforeUpdate": True}}
    if refused:
        with pytest.raises(ConfigError, match="not above the usage, 8192"):
            convert(resources, {"memory.current": usage})
    else:
        convert(resources, {"memory.current": usage})


@pytest.mark.parametrize(("memory", "key"), [({"limit": 8192, "swap": 8192}, "limit"), ({"swap": 8192}, "swap")])
def test_place_of_a_limit_below_the_usage(memory, key):
    with pytest.raises(ConfigError) as caught:
        convert({"memory": {**memory, "checkBeforeUpdate": True}}, {"memory.current": "8192", "memory.max": "4096"})
    assert caught.value.pointer == f"/linux/resources/memory/{key}"


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"disableOOMKiller": True}}, "/memory/disableOOMKiller"),
        ({"cpu": {"realtimeRuntime": 1}}, "/cpu/realtimeRuntime"),
        ({"cpu": {"realtimePeriod": 1}}, "/cpu/realtimePeriod"),
        ({"network": {"classID": 1}}, "/network/classID"),
        ({"network": {"priorities": [{"name": "eth0", "priority": 0}]}}, "/network/priorities"),
        ({"unified": {"../x/memory.max": "1"}}, "/unified/..~1x~1memory.max"),
    ],
)
def test_refused(resources, pointer):
    with pytest.raises(ConfigError) as caught:
        convert(resources)
    assert caught.value.pointer == "/linux/resources" + pointer


@pytest.mark.parametrize(
    ("resources", "word"),
    [
        ({"memory": {"kernel": 1}}, "kernel"),
        ({"memory": {"kernelTCP": 1}}, "kernelTCP"),
        ({"memory": {"swappiness": 0}}, "swappiness"),
        ({"memory": {"useHierarchy": False}}, "useHierarchy"),
        ({"cpu": {"idle": 1, "shares": 4}}, "shares"),
        ({"blockIO": {"leafWeight": 10}}, "leafWeight"),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}}, "weightDevice/0/leafWeight"),
    ],
)
def test_ignored_with_a_warning(resources, word):
    wanted, warnings = convert(resources)
    assert [file for file, _ in wanted] == (["cpu.idle"] if word == "shares" else [])
    assert len(warnings) == 1
    assert f"/{word} is ignored" in warnings[0]


def test_weights_fall_back_to_io_weight():
    block_io = {"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}
    wanted = values.settings(Resources(Reader({"blockIO": block_io}, "/linux/resources")), print)
    fallbacks = [(setting.alternative.file, setting.alternative.value) for setting in wanted if setting.alternative]
    assert fallbacks == [("io.weight", "default 910"), ("io.weight", "8:0 1")]


PRESENT = {None: None, "": None, "\n": None, "max\n": -1, "-1": -1, "0\n": 0, "1": 1, "2": 2}


@pytest.mark.parametrize("text", PRESENT)
def test_a_limit_that_rises(text):
    """Above the present one, which may be 0; "max" is above all, and no limit is none to compare with."""
    old = PRESENT[text]
    assert values._amount(text) == old
    raised = [limit for limit in (None, -2, -1, 0, 1, 2, 3) if values._raises(limit, text)]
    assert raised == ([] if old in {None, -1} else [-2, -1, *range(old + 1, 4)])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("3", [3]), ("0-2,5", [0, 1, 2, 5]), (" 1 , 0\n", [0, 1]), ("65535", [65535]), (",", []), ("1-1", [1]),
     ("0," * 32768, [0])],
)  # fmt: skip
def test_members(text, numbers):
    assert values.members(text) == numbers


@pytest.mark.parametrize("text", ["65536", "0-65536", "2-1", "-1", "x", "1-", "1-2-3", "0," * 32768 + "1"])
def test_no_members(text):
    with pytest.raises(ValueError, match=r"."):
        values.members(text)


@pytest.mark.parametrize("name", ["a/b", "/", ".a.b", "."])
def test_unified_keys_that_are_no_files(name):
    with pytest.raises(ConfigError, match="is not the name of a cgroup file") as caught:
        convert({"unified": {name: "1"}})
    assert caught.value.pointer == "/linux/resources/unified/" + name.replace("/", "~1")


def test_optional_files():
    resources = {
        "memory": {"limit": GIB, "swap": GIB}, "hugepageLimits": [{"pageSize": "1GB", "limit": 0}],
        "pids": {"limit": 1},
    }  # fmt: skip
    wanted = values.settings(Resources(Reader(resources, "/linux/resources")), print)
    assert [setting.file for setting in wanted if setting.optional] == ["memory.swap.max", "hugetlb.1GB.rsvd.max"]
    assert values.controllers(wanted) == {
        "memory": "/linux/resources/memory/limit",
        "pids": "/linux/resources/pids/limit",
        "hugetlb": "/linux/resources/hugepageLimits/0",
    }


@pytest.mark.parametrize(("swap", "optional"), [(GIB, True), (GIB + 1, False), (-1, True)])
def test_swap_that_is_allowed_must_be_accounted(swap, optional):
    wanted = values.settings(Resources(Reader({"memory": {"limit": GIB, "swap": swap}}, "")), print)
    assert [setting.optional for setting in wanted if setting.file == "memory.swap.max"] == [optional]


@pytest.mark.parametrize("key", ["quota", "period"])
def test_place_of_the_bandwidth(key):
    (setting,) = values.settings(Resources(Reader({"cpu": {key: 5000}}, "/linux/resources")), print)
    assert setting.pointer == f"/linux/resources/cpu/{key}"


def test_core_files_need_no_controller():
    wanted = values.settings(Resources(Reader({"unified": {"cgroup.max.depth": "3"}}, "")), print)
    assert values.controllers(wanted) == {}
