"""crun's annotations: which values are taken, and what a filter in base64 is."""

import binascii

import pytest
from pyrunc.spec import annotations
from pyrunc.spec.config import parse_config

from tests.unit.spec_specimen import minimal

FILTER = bytes(range(8))


def base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


GOOD = {
    "run.oci.keep_original_groups": ["0", "1", "true"],
    "run.oci.hooks.stdout": ["/a"],
    "run.oci.hooks.stderr": ["/a b"],
    "run.oci.pidfd_receiver": ["/a"],
    "run.oci.seccomp.receiver": ["/a"],
    "run.oci.systemd.subgroup": ["", "a", "a/b", "..a/b.."],
    "run.oci.delegate-cgroup": ["a", "a/b", "a b"],
    "run.oci.mount_context_type": ["context", "fscontext", "defcontext", "rootcontext"],
    "run.oci.seccomp_bpf_data": [base64(FILTER), base64(FILTER * 4096)],
    "run.oci.seccomp_fail_unknown_syscall": ["", "0", "x"],
    "run.oci.something.else": [""],
    "org.example/x": ["\0"],
}
PATH, CGROUP = "is not an absolute path", "is not the name of a cgroup below the container's"
BAD = [
    ("run.oci.keep_original_groups", "", "an empty string is neither `1` nor `0`"),
    ("run.oci.keep_original_groups", "false", "`false` is neither `1` nor `0`"),
    *((f"run.oci.{name}", "a", f"`a` {PATH}") for name in ("hooks.stdout", "hooks.stderr", "pidfd_receiver")),
    ("run.oci.seccomp.receiver", "", f"an empty string {PATH}"),
    ("run.oci.pidfd_receiver", "/a\0", f"`/a\0` {PATH}"),
    *(
        ("run.oci.systemd.subgroup", text, f"`{text}` {CGROUP}")
        for text in ("/", "/a", "a/", "a//b", ".", "a/..", "a\n")
    ),
    ("run.oci.delegate-cgroup", "", f"an empty string {CGROUP}"),
    *(("run.oci.delegate-cgroup", text, f"`{text}` {CGROUP}") for text in ("a/./b", "..", "a\0", "\n")),
    (
        "run.oci.mount_context_type",
        "con",
        "`con` is not one of `context`, `defcontext`, `fscontext`, `rootcontext`",
    ),
    *(
        ("run.oci.seccomp_bpf_data", text, "not a seccomp filter in base64")
        for text in ("", "x", base64(FILTER[:7]), base64(FILTER * 4097), base64(FILTER) + "\n", "é" + base64(FILTER))
    ),
    *(
        (f"run.oci.{name}", "", f"the annotation `run.oci.{name}` is not supported")
        for name in ("handler", "seccomp.plugins", "systemd.force_cgroup_v1")
    ),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_good(name: str, value: str) -> None:
    assert list(annotations.annotation_problems({name: value})) == []


@pytest.mark.parametrize(("name", "value", "text"), BAD)
def test_bad(name: str, value: str, text: str) -> None:
    problem, *more = annotations.annotation_problems({"a": "", name: value, "z": ""})
    assert (problem.message, problem.pointer, more) == (text, f"/annotations/{name}", [])
    assert bool(problem.hint) == text.endswith("is not supported")


def test_what_hints_say() -> None:
    for name, word in (
        ("handler", "its own runtime"),
        ("seccomp.plugins", "agent"),
        ("systemd.force_cgroup_v1", "226"),
    ):
        (problem,) = annotations.annotation_problems({f"run.oci.{name}": "x"})
        assert word in problem.hint


def test_every_bad_one_is_told() -> None:
    found = list(
        annotations.annotation_problems({"run.oci.handler": "", "run.oci.a~/": "", "run.oci.hooks.stdout": ""})
    )
    assert [one.pointer for one in found] == ["/annotations/run.oci.handler", "/annotations/run.oci.hooks.stdout"]


def test_filter() -> None:
    assert annotations.seccomp_instructions(base64(FILTER * 2)) == FILTER * 2
    assert annotations.seccomp_instructions("!") == b""


def test_files_of_hooks() -> None:
    assert annotations.hook_paths({}) == ("", "")
    assert annotations.hook_paths(None) == ("", "")
    both = {"run.oci.hooks.stdout": "/o", "run.oci.hooks.stderr": "/e"}
    assert annotations.hook_paths(both) == ("/o", "/e")


@pytest.mark.parametrize(("value", "keeps"), [(None, False), ("0", False), ("1", True), ("true", True)])
def test_groups_that_are_kept(value: "str | None", keeps: bool) -> None:
    config = parse_config(minimal() | {"annotations": {} if value is None else {"run.oci.keep_original_groups": value}})
    assert config.keeps_groups == keeps
