"""Options of `update`: which resource each of them means."""

from pathlib import Path

import pytest
from pyrunc import arguments
from pyrunc.context import Context
from pyrunc.errors import PyruncError, UsageError
from pyrunc.log import Log
from pyrunc.wings.control import update

CASES = [
    ("--blkio-weight 100", "block_io", "weight", 100),
    ("--cpu-period 20000", "cpu", "period", 20000),
    ("--cpu-quota -1", "cpu", "quota", -1),
    ("--cpu-burst 7", "cpu", "burst", 7),
    ("--cpu-rt-period 8", "cpu", "realtime_period", 8),
    ("--cpu-rt-runtime 9", "cpu", "realtime_runtime", 9),
    ("--cpu-share 512", "cpu", "shares", 512),
    ("--cpu-idle 1", "cpu", "idle", 1),
    ("--cpuset-cpus 0-1", "cpu", "cpus", "0-1"),
    ("--cpuset-mems 0", "cpu", "mems", "0"),
    ("--memory 4096", "memory", "limit", 4096),
    ("--memory 4k", "memory", "limit", 4096),
    ("--memory-reservation 1M", "memory", "reservation", 1 << 20),
    ("--memory-swap -1", "memory", "swap", -1),
    ("--kernel-memory 1g", "memory", "kernel", 1 << 30),
    ("--kernel-memory-tcp 1", "memory", "kernel_tcp", 1),
    ("--pids-limit 0", "pids", "limit", 0),
]


def parsed(words: str) -> arguments.Arguments:
    """The command line of update, without an id."""
    into = arguments.Arguments()
    arguments.take_options(words.split(), update.VERB.options, into)
    return into


@pytest.mark.parametrize(("words", "section", "key", "value"), CASES)
def test_option(words: str, section: str, key: str, value: object) -> None:
    resources = update._resources(parsed(words))
    assert getattr(getattr(resources, section), key) == value


def test_every_option_has_its_case() -> None:
    names = {words.split()[0].removeprefix("--") for words, *_ in CASES}
    schemas = {"l3-cache-schema", "mem-bw-schema"}  # for resctrl: tests/system/test_resctrl.py
    assert names | schemas | {"resources"} == {option.name for option in update.VERB.options}


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("--memory -5", "(--memory)"),
        ("--cpu-idle 2", "(--cpu-idle)"),
        ("--memory 1 --cpu-period -1", "(--cpu-period)"),
        ("--resources FILE", "(FILE: /memory/limit)"),
    ],
)
def test_error_names_the_option_or_the_file(words: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"memory": {"limit": -5}}')
    words, place = (text.replace("FILE", str(tmp_path / "file")) for text in (words, place))
    with pytest.raises(PyruncError) as caught:
        update.run(Context(arguments.Arguments(), Log(), {}), parsed(words))
    assert place in str(caught.value)


@pytest.mark.parametrize("words", ["--memory lots", "--pids-limit 1k", "--cpu-share 1.5", "--cpu-idle 2"])
def test_value_that_is_none(words: str) -> None:
    with pytest.raises((UsageError, PyruncError)):
        update._resources(parsed(words))
