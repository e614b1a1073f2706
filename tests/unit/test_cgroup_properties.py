"""Settings and annotations as properties of a systemd unit."""

import pytest
from pyrunc.cgroup import values
from pyrunc.errors import ConfigError
from pyrunc.spec.reader import Reader
from pyrunc.spec.resources import Resources
from pyrunc.wings.systemd import bus, gvariant, properties

INFINITY = 2**64 - 1


def convert(resources):
    wanted = values.settings(Resources(Reader(resources, "/linux/resources")), print)
    return {name: (signature, value) for name, signature, value in properties.of_settings(wanted)}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, {}),
        (
            {"memory": {"limit": 4096, "swap": 12288, "reservation": 2048}},
            {"MemoryMax": ("t", 4096), "MemorySwapMax": ("t", 8192), "MemoryLow": ("t", 2048)},
        ),
        ({"memory": {"limit": -1}}, {"MemoryMax": ("t", INFINITY), "MemorySwapMax": ("t", INFINITY)}),
        ({"memory": {"limit": 4096, "swap": 4096}}, {"MemoryMax": ("t", 4096), "MemorySwapMax": ("t", 0)}),
        ({"cpu": {"shares": 1024}}, {"CPUWeight": ("t", 100)}),
        ({"cpu": {"idle": 1}}, {"CPUWeight": ("t", 0)}),
        ({"cpu": {"idle": 0}}, {}),
        (
            {"cpu": {"quota": 50000, "period": 100000}},
            {"CPUQuotaPerSecUSec": ("t", 500_000), "CPUQuotaPeriodUSec": ("t", 100_000)},
        ),
        (
            {"cpu": {"quota": 33333, "period": 100000}},
            {"CPUQuotaPerSecUSec": ("t", 340_000), "CPUQuotaPeriodUSec": ("t", 100_000)},
        ),
        (
            {"cpu": {"quota": -1, "period": 20000}},
            {"CPUQuotaPerSecUSec": ("t", INFINITY), "CPUQuotaPeriodUSec": ("t", 20_000)},
        ),
        ({"cpu": {"cpus": "0-1,9"}}, {"AllowedCPUs": ("ay", [3, 2])}),
        ({"cpu": {"mems": "0"}}, {"AllowedMemoryNodes": ("ay", [1])}),
        ({"cpu": {"cpus": "0-7", "mems": "8"}}, {"AllowedCPUs": ("ay", [255]), "AllowedMemoryNodes": ("ay", [0, 1])}),
        ({"pids": {"limit": 0}}, {"TasksMax": ("t", 1)}),
        ({"pids": {"limit": -1}}, {"TasksMax": ("t", INFINITY)}),
        ({"blockIO": {"weight": 100}}, {"IOWeight": ("t", 910)}),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 500}]}}, {}),
        (
            {"unified": {"memory.high": "max", "memory.min": "7"}},
            {"MemoryHigh": ("t", INFINITY), "MemoryMin": ("t", 7)},
        ),
        (
            {"unified": {"cpu.max": "20000"}},
            {"CPUQuotaPerSecUSec": ("t", 200_000), "CPUQuotaPeriodUSec": ("t", 100_000)},
        ),
        ({"pids": {"limit": 5}, "unified": {"pids.max": "6"}}, {"TasksMax": ("t", 6)}),
        ({"unified": {"hugetlb.2MB.max": "0", "cgroup.max.depth": "1"}}, {}),
        (
            {"unified": {"memory.max": "0", "memory.high": "0", "pids.max": "0"}},
            {"MemoryMax": ("t", 1), "MemoryHigh": ("t", 0), "TasksMax": ("t", 1)},
        ),
        ({"unified": {"memory.low": str(INFINITY)}}, {"MemoryLow": ("t", INFINITY)}),
        ({"unified": {"cpu.max": "1 1"}}, {"CPUQuotaPerSecUSec": ("t", 1_000_000), "CPUQuotaPeriodUSec": ("t", 1)}),
        ({"unified": {"io.bfq.weight": "100"}}, {}),
    ],
)
def test_settings(resources, expected):
    assert convert(resources) == expected


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("memory.max", "1G"), ("cpu.max", "x 1"), ("cpu.max", "1 0"), ("cpuset.cpus", "0-"),
        ("memory.low", str(INFINITY + 1)), ("memory.low", "-1"), ("cpu.max", f"1 {INFINITY + 1}"),
    ],
)  # fmt: skip
def test_values_that_systemd_cannot_be_told(file, text):
    with pytest.raises(ConfigError, match=r"invalid value `.*` for") as caught:
        convert({"unified": {file: text}})
    assert caught.value.pointer == f"/linux/resources/unified/{file}"


def test_only_the_weight_of_bfq_is_told_by_its_alternative():
    other = values.Setting("memory.high", "2", "")
    assert properties.of_settings([values.Setting("memory.max", "1", "", alternative=other)]) == [("MemoryMax", "t", 1)]


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("15", "i", 15), (" -3 ", "i", -3), ("0x10", "i", 16), ("uint64 10000000", "t", 10_000_000), ("byte 7", "y", 7),
        ("true", "b", True), ("false", "b", False), ("'text'", "s", "text"), ('"it\'s"', "s", "it's"),
        ("1.5", "d", 1.5), ("double 2", "d", 2.0), (r"'a\'b\n'", "s", "a'b\n"), ("['a', 'b']", "as", ["a", "b"]),
        ("@as []", "as", []),
        ("@a(sas) []", "a(sas)", []),
        ("[uint32 1, 2]", "au", [1, 2]), ("@at [1, 2]", "at", [1, 2]), ("('x', 3)", "(si)", ["x", 3]),
        ("[('/dev/null', 'rw')]", "a(ss)", [["/dev/null", "rw"]]), ("('x',)", "(s)", ["x"]),
        ("objectpath '/a'", "o", "/a"), ("017", "i", 15), ("-0x1F", "i", -31), ("+5", "i", 5), ("1e3", "d", 1000.0),
        (r"'\u00e9\U0001f600\q'", "s", "é\U0001f600q"),
    ],
)  # fmt: skip
def test_gvariant_text(text, signature, value):
    assert gvariant.parse(text) == (signature, value)


@pytest.mark.parametrize(
    "text",
    ["", "word", "15 16", "'open", "[1, 'a']", "[]", "uint64 -1", "byte 256", "2147483648", "uint64 'x'", "@ 1",
     "@aa []", "@ss 1", "@a 1", "@(a) []",
     "[1 2]", "uint64 true", "(", "[" * 40, "@z 1", "@s [1]", "@(u) (1,)", "1_000", "0b1", "0o7", "09", "٣",
     "9" * 500, f"double {'9' * 400}", "'a\0b'", r"'\u0000'", r"'\ud800'", r"'\u12'", r"'\U00110000'"],
)  # fmt: skip
def test_text_that_is_no_gvariant(text):
    with pytest.raises(ValueError, match=r"\w"):
        gvariant.parse(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("KillSignal", "15", ("KillSignal", "i", 15)),
        ("TimeoutStopUSec", "uint64 10000000", ("TimeoutStopUSec", "t", 10_000_000)),
        ("TimeoutStopSec", "inf", ("TimeoutStopUSec", "t", 2**64 - 1)),
        ("TimeoutStopSec", "uint64 10", ("TimeoutStopUSec", "t", 10_000_000)),
        ("RuntimeMaxSec", "1.5", ("RuntimeMaxUSec", "t", 1_500_000)),
        ("RuntimeMaxSec", "0", ("RuntimeMaxUSec", "t", 0)),
        ("RuntimeMaxSec", "0.5", ("RuntimeMaxUSec", "t", 500_000)),
        ("aSec", "1", ("aUSec", "t", 1_000_000)),
        ("ASec", "1", ("ASec", "i", 1)),
        ("USec", "1", ("USec", "i", 1)),
        ("Sec", "1", ("Sec", "i", 1)),
        ("bbSec", "1", ("bbUSec", "t", 1_000_000)),
        ("BbSec", "1", ("BbUSec", "t", 1_000_000)),
        ("CollectMode", "'inactive'", ("CollectMode", "s", "inactive")),
        ("After", "['a.service']", ("After", "as", ["a.service"])),
    ],
)
def test_annotations(name, text, expected):
    assert properties.of_annotations({"other": "1", f"org.systemd.property.{name}": text}) == [expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Kill Signal", "1"), ("Kill/Signal", "1"), ("K1", "1"), ("Ki", "1"), ("", "1"), ("Kill", ""), ("Größe", "1"),
        ("StopSec", "-1"), ("StopSec", "true"), ("KillSignal", "SIGTERM"), ("StopSec", "'a'"),
    ],
)  # fmt: skip
def test_annotations_that_are_refused(name, text):
    with pytest.raises(ConfigError) as caught:
        properties.of_annotations({f"org.systemd.property.{name}": text})
    assert caught.value.pointer == f"/org.systemd.property.{name.replace('/', '~1')}"


@pytest.mark.parametrize(
    ("signature", "types"),
    [
        ("", []), ("s", ["s"]), ("sa(sv)u", ["s", "a(sv)", "u"]), ("a(sa(sv))", ["a(sa(sv))"]),
        ("aas(ii)", ["aas", "(ii)"]),
    ],
)  # fmt: skip
def test_signatures_are_split(signature, types):
    assert bus.split(signature) == types


def test_limits_of_memory() -> None:
    """They are told last, since an interpreter may need more than they allow."""
    names = ("MemoryMax", "MemoryHigh", "MemorySwapMax", "MemoryLimit")
    assert {*names, *(f"{name}Scale" for name in names)} == properties.OF_MEMORY


@pytest.mark.parametrize(("given", "held"), [("0", "1"), ("1", "1"), ("2", "2"), ("max", "max")])
def test_number_of_processes_is_one_that_the_unit_can_hold(given: str, held: str) -> None:
    """systemd writes the unit's number into the file at each change."""
    pids, other = (
        values.Setting(file, text, f"/linux/resources/{key}")
        for file, text, key in (("pids.max", given, "pids/limit"), ("memory.high", "0", "memory/limit"))
    )
    found = properties.held([pids, other])
    told = {"0": 1, "1": 1, "2": 2, "max": properties.INFINITY}
    assert [(one.file, one.value) for one in found] == [("pids.max", held), ("memory.high", "0")]
    assert found[0].pointer == "/linux/resources/pids/limit"
    assert properties.of_settings(found)[0] == ("TasksMax", "t", told[given])


@pytest.mark.parametrize(
    ("text", "policy"), [("1", "kill"), ("0", "continue"), ("1\n", "kill"), ("2", None), ("", None)]
)
def test_policy_for_want_of_memory(text: str, policy: str | None) -> None:
    found = properties.of_creation([values.Setting("memory.oom.group", text, "/unified/memory.oom.group")])
    assert found == ([("OOMPolicy", "s", policy)] if policy else [])
    assert properties.of_creation([values.Setting("memory.max", "1", "/memory/limit")]) == []
