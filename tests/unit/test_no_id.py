"""2^32-1 is (uid_t)-1, "leave it as it is": whoever asks for that id would stay root. No place where an id is read
takes it, one that is added later included, and a process gets none above 2^31-1."""

import re

import pytest
from pyrunc.errors import ConfigError, UsageError
from pyrunc.planning.exec import ExecOptions, process_of
from pyrunc.spec.config import Config, parse_config, parse_process
from pyrunc.spec.reader import Reader
from pyrunc.wings.documents.schema import schema_problems

from tests.unit.spec_specimen import PROCESS, full, places

NO_ID = 2**32 - 1
NOT_IDS = re.compile(
    r"/process/user/umask|/linux/devices/\d+/fileMode|/(uid|gid)Mappings/\d+/size|/linux/timeOffsets/\w+/nanosecs"
    r"|/linux/resources/(network/(classID|priorities/\d+/priority)|rdma/\w+/hca(Handles|Objects))"
    r"|/linux/seccomp/(defaultErrnoRet|syscalls/\d+/errnoRet)"
)
"""Where the specification has 32 bits that are something else. A new key that is none of these must refuse NO_ID."""


def accepts(pointer: str, number: int) -> bool:
    """Whether the reader takes `number` at `pointer`; the schema must be of its opinion."""
    value = full()
    container, key = next((container, key) for container, key, at in places(value) if at == pointer)
    container[key] = number
    try:
        Config(Reader(value, ""))
    except ConfigError as error:
        assert error.pointer == pointer
        assert pointer in {problem.pointer for problem in schema_problems(value)}
        return False
    assert not schema_problems(value)
    return True


INTEGERS = [at for container, key, at in places(full()) if type(container[key]) is int]
OF_32_BITS = [at for at in INTEGERS if not accepts(at, 2**32)]
IDS = [at for at in OF_32_BITS if re.search(r"/([ug]id|additionalGids/\d+|containerID|hostID)$", at)]


def test_the_specimen_has_ids_of_each_kind() -> None:
    kinds = {re.sub(r"/\d+", "", at) for at in IDS}
    mappings = {f"{parent}/{kind}Mappings/{end}ID" for parent in ("/linux", "/mounts") for kind in ("uid", "gid")
                for end in ("container", "host")}  # fmt: skip
    user = {f"/process/user/{key}" for key in ("uid", "gid", "additionalGids")}
    assert kinds == mappings | user | {"/linux/devices/uid", "/linux/devices/gid"}


@pytest.mark.parametrize("pointer", OF_32_BITS)
def test_only_what_is_no_id_takes_it(pointer: str) -> None:
    assert not accepts(pointer, NO_ID) or NOT_IDS.search(pointer)


@pytest.mark.parametrize("pointer", IDS)
def test_last_id(pointer: str) -> None:
    last = 2**31 - 1 if pointer.startswith("/process/") else NO_ID - 1
    assert accepts(pointer, last)
    assert not accepts(pointer, last + 1)


@pytest.mark.parametrize("key", ["uidMappings", "gidMappings"])
@pytest.mark.parametrize("where", ["/linux", "/mounts/0"])
@pytest.mark.parametrize("end", ["containerID", "hostID"])
@pytest.mark.parametrize(
    ("first", "size", "good"), [(NO_ID - 1, 1, True), (NO_ID - 1, 2, False), (1, NO_ID, False), (0, NO_ID, True)]
)
def test_no_range_runs_past_the_last(key: str, where: str, end: str, first: int, size: int, good: bool) -> None:
    value = full()
    mappings = value["linux"] if where == "/linux" else value["mounts"][0]
    mappings[key] = [{"containerID": 0, "hostID": 0, "size": size} | {end: first}]
    if good:
        parse_config(value)
        return
    with pytest.raises(ConfigError) as caught:
        parse_config(value)
    assert caught.value.pointer == f"{where}/{key}/0/{end}"


@pytest.mark.parametrize("number", [2**31, NO_ID - 1, NO_ID, 2**32, 2**64 - 1])
def test_exec_takes_none_either(number: int) -> None:
    for key, value in (("uid", number), ("gid", number), ("additionalGids", [number])):
        with pytest.raises(ConfigError, match="integer from 0 to 2147483647"):
            parse_process(PROCESS | {"user": {"uid": 0, "gid": 0, key: value}})
    for user, groups in ((f"{number}", []), (f"1:{number}", []), ("1", [f"{number}"])):
        options = ExecOptions(["sh"])
        options.user, options.additional_gids = user, groups
        with pytest.raises(UsageError, match=f"`{user if not groups else number}`"):
            process_of(PROCESS, options)
