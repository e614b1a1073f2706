"""Files of a cgroup as `events --stats` shows them."""

import pytest
from pyrunc.cgroup import values
from pyrunc.wings.events import stats

NOTHING = {"limit": 0, "failcnt": 0}
FILES = {
    "cpu.stat": "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 7\nnr_throttled 2\nthrottled_usec 5\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.25 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "cpuset.cpus": "0-1,3\n",
    "memory.current": "1000\n",
    "memory.max": "5000\n",
    "memory.peak": "2000\n",
    "memory.events": "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n",
    "memory.swap.current": "10\n",
    "memory.swap.max": "500\n",
    "memory.stat": "anon 700\nfile 200\n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=1 wbytes=0 rios=2 wios=3 dbytes=9 dios=9\n8:16 \n",
    "hugetlb.2MB.current": "2097152\n",
    "hugetlb.2MB.events": "max 6\n",
    "hugetlb.2MB.rsvd.current": "1\n",
}


@pytest.fixture
def collect(tmp_path, monkeypatch):
    """A function that gives the statistics of a cgroup with these files."""
    monkeypatch.setattr(stats, "directory", lambda path: str(tmp_path / path))

    def collect(files):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return stats.stats(".")

    return collect


def test_every_file_is_translated(collect):
    none = {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 0}
    data = collect(FILES)
    assert data.pop("cpuset")["cpus"] == [0, 1, 3]
    assert data == {
        "cpu": {
            "usage": {"total": 30000, "kernel": 20000, "user": 10000},
            "throttling": {"periods": 7, "throttledPeriods": 2, "throttledTime": 5000},
            "psi": {"some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.25, "total": 9}, "full": none},
        },
        "memory": {
            "cache": 200,
            "usage": {"limit": 5000, "usage": 1000, "max": 2000, "failcnt": 4},
            "swap": {"limit": 5500, "usage": 1010, "failcnt": 0},
            "kernel": NOTHING,
            "kernelTCP": NOTHING,
            "raw": {"anon": 700, "file": 200},
        },
        "pids": {"current": 3},
        "blkio": {
            "ioServiceBytesRecursive": [{"major": 8, "op": "Read", "value": 1}, {"major": 8, "op": "Write"}],
            "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 2}, {"major": 8, "op": "Write", "value": 3}],
        },
        "hugetlb": {"2MB": {"usage": 2097152, "failcnt": 6}},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def test_no_limit_is_the_largest_number(collect):
    memory = collect({"memory.max": "max\n", "memory.swap.max": "max\n"})["memory"]
    assert memory["usage"]["limit"] == memory["swap"]["limit"] == 2**64 - 1


def test_empty_cgroup(collect):
    data = collect({})
    assert data["pids"] == data["blkio"] == data["hugetlb"] == {}
    assert data["cpu"] == {"usage": {"kernel": 0, "user": 0}, "throttling": {}}


@pytest.mark.parametrize(
    ("text", "expected"), [("", []), ("\n", []), ("0\n", [0]), ("0-2,5", [0, 1, 2, 5]), ("7,3-3,7", [3, 7])]
)
def test_lists_of_numbers(text, expected):
    assert values.members(text) == expected
