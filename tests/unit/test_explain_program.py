"""pyrunc.wings.explain.program: what is wrong with a file that the kernel does not execute."""

import os
import struct
from errno import E2BIG, EACCES, EISDIR, ELOOP, ENOENT, ENOEXEC, ENOTDIR, ETXTBSY
from pathlib import Path

import pytest
from pyrunc.wings.explain import program

GLIBC, MUSL = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"


def elf(machine: int = 62, loader: str = "", *, wide: bool = True, order: str = "<") -> bytes:
    """The headers of an ELF program, with PT_INTERP if it has a loader."""
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    name = loader.encode() + b"\0"
    if wide:
        header = struct.pack(f"{order}HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1 if loader else 0, 0, 0, 0)
        entry = struct.pack(f"{order}IIQQQQQQ", 3, 4, 64 + 56, 0, 0, len(name), len(name), 1)
    else:
        header = struct.pack(f"{order}HHIIIIIHHHHHH", 2, machine, 1, 0, 52, 0, 0, 52, 32, 1 if loader else 0, 0, 0, 0)
        entry = struct.pack(f"{order}IIIIIIII", 3, 52 + 32, 0, 0, len(name), len(name), 4, 1)
    return identity + header + (entry + name if loader else b"")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that the cases are written for."""
    there = os.uname()
    here = os.uname_result((there.sysname, there.nodename, there.release, there.version, "x86_64"))
    monkeypatch.setattr("pyrunc.wings.explain.program.posix.uname", lambda: here)


def why(root: Path, path: str, errno: int, who: "program.Who | None" = None) -> str:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        return program.why_not_executed(program.View(fd), path, "/", errno, who)
    finally:
        os.close(fd)


def why_not_found(root: Path, *candidates: str, errno: int, cwd: str = "/", who: "program.Who | None" = None) -> str:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        return program.why_not_found(program.View(fd), candidates, cwd, errno, who)
    finally:
        os.close(fd)


def place(root: Path, path: str, content: bytes = b"", mode: int = 0o755) -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(("content", "errno", "text"), [
    (b"#!/bin/bash\necho\n", ENOENT, "a script for `/bin/bash`, but there is no `/bin` in the container"),
    (b"#! /bin/bash -e\necho\n", ENOENT, "a script for `/bin/bash`, but there is no `/bin`"),
    (b"#!\t/a/sh\t-x\n", ENOENT, "a script for `/a/sh`, but there is no `/a`"),
    (b"#!/bin/sh\r\necho\r\n", ENOENT, r"ends in a carriage return, so that the interpreter would be `/bin/sh\r`"),
    (b"#!\nx", ENOEXEC, "names no interpreter"),
    (b"#!/" + b"a" * 300 + b"\n", ENOEXEC, "longer than the 255 bytes"),
    (b"echo hello\n", ENOEXEC, "a script without a `#!` line: begin it with `#!/bin/sh`"),
    (b"", ENOEXEC, "the file is empty"),
    (b"\0\1\2binary", ENOEXEC, "neither an ELF program nor a script"),
    (elf(183), ENOEXEC, "a program for aarch64, and this machine is x86_64"),
    (elf(40, wide=False), ENOEXEC, "a program for arm, and this machine is x86_64"),
    (elf(22, order=">"), ENOEXEC, "a program for s390x, and this machine is x86_64"),
    (elf(9999), ENOEXEC, "machine 9999"),
    (elf(3, wide=False), ENOEXEC, "does not run 32-bit programs"),
    (elf(62), ENOEXEC, "the ELF file is damaged"),
    (b"\x7fELF\2\1\1", ENOEXEC, "the ELF file is cut off"),
    (b"\x7fELF", ENOEXEC, "the ELF file is cut off"),
    (elf(62, GLIBC), ENOENT, f"the loader `{GLIBC}` of glibc: the image lacks that C library"),
    (elf(62, GLIBC), ENOENT, "for another distribution; there is no `/lib64` in the container"),
    (elf(62, MUSL), ENOENT, f"the loader `{MUSL}` of musl"),
    (elf(3, "/lib/ld-linux.so.2", wide=False), ENOENT, "the loader `/lib/ld-linux.so.2` of glibc"),
    (elf(22, "/lib/ld64.so.1", order=">"), ENOENT, "the loader `/lib/ld64.so.1` of glibc"),
    (elf(62, "/x/y"), ENOENT, "the loader `/x/y`; there is no `/x`"),
    (b"x", ETXTBSY, "open for writing"),
    (b"x", E2BIG, "process.args and process.env together"),
])  # fmt: skip
def test_what_the_file_is(tmp_path: Path, content: bytes, errno: int, text: str) -> None:
    place(tmp_path, "/run", content)
    assert text in why(tmp_path, "/run", errno)


def test_the_interpreter_is_looked_at_as_the_program_is(tmp_path: Path) -> None:
    place(tmp_path, "/run", b"#!/a\n")
    place(tmp_path, "/a", b"#!/b\n")
    place(tmp_path, "/b", elf(62, MUSL))
    text = f"it is a script for `/a`: it is a script for `/b`: it needs the loader `{MUSL}`"
    assert text in why(tmp_path, "/run", ENOENT)
    place(tmp_path, "/b", elf(62, MUSL))
    place(tmp_path, MUSL, b"", 0o644)
    assert f"its loader is `{MUSL}`: it is not executable (mode 0644)" in why(tmp_path, "/run", EACCES)
    place(tmp_path, "/b", b"", 0o644)
    assert "for `/b`: it is not executable (mode 0644)" in why(tmp_path, "/run", EACCES)


def test_scripts_that_name_each_other_end(tmp_path: Path) -> None:
    place(tmp_path, "/a", b"#!/b\n")
    place(tmp_path, "/b", b"#!/a\n")
    assert "nested too deeply" in why(tmp_path, "/a", ELOOP)


def test_a_missing_program_is_named_by_its_first_missing_directory(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    assert why_not_found(tmp_path, "/usr/bin/x/y", errno=ENOENT) == "there is no `/usr/bin` in the container"
    assert why_not_found(tmp_path, "bin/y", errno=ENOENT, cwd="/usr") == "there is no `/usr/bin` in the container"


@pytest.mark.parametrize(("links", "text"), [
    ({"run": "/opt/x"}, "`/run` is a symlink to `/opt/x`, which does not exist in the container"),
    ({"run": "x"}, "`/run` is a symlink to `x`, which does not exist in the container"),
    ({"run": "/a", "a": "/b"}, "`/run` is a symlink to `/a`, which leads nowhere in the container"),
    ({"run": "/run"}, "`/run` is a symlink to `/run`, which leads nowhere in the container"),
])  # fmt: skip
def test_dangling_links(tmp_path: Path, links: "dict[str, str]", text: str) -> None:
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    assert text in why_not_found(tmp_path, "/run", errno=ENOENT)


def test_a_link_on_the_way_is_followed_within_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin").symlink_to("/etc")
    assert why_not_found(tmp_path, "/bin/passwd", errno=ENOENT) == "there is no `/etc/passwd` in the container"
    (tmp_path / "up").symlink_to("../../etc")
    assert why_not_found(tmp_path, "/up/passwd", errno=ENOENT).startswith("there is no `/")
    (tmp_path / "a").symlink_to("/b/x")
    (tmp_path / "b").symlink_to("/a/x")
    assert "is part of a loop of symlinks" in why_not_found(tmp_path, "/a/y", errno=ELOOP)


def test_a_file_on_the_way(tmp_path: Path) -> None:
    place(tmp_path, "/bin")
    assert why_not_found(tmp_path, "/bin/x", errno=ENOTDIR) == "`/bin` is not a directory"


def test_a_directory_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert why_not_found(tmp_path, "/bin", errno=EISDIR) == "it is a directory"
    assert why_not_found(tmp_path, "/pipe", errno=EISDIR) == "it is not a regular file"
    assert why(tmp_path, "/pipe", ENOEXEC) == ""  # and does not wait for a writer


def test_who_may_execute(tmp_path: Path) -> None:
    file = place(tmp_path, "/run", b"#!/x\n", 0o700)
    facts = file.stat()
    stranger = program.Who(facts.st_uid + 1, [facts.st_gid + 1], 1000)
    owner, member = program.Who(facts.st_uid, [], 0), program.Who(facts.st_uid + 1, [facts.st_gid], 1)
    text = "user 1000 of the container may not execute it (mode 0700"
    assert text in why_not_found(tmp_path, "/run", errno=EACCES, who=stranger)
    assert "user 1 " in why_not_found(tmp_path, "/run", errno=EACCES, who=member)
    assert why_not_found(tmp_path, "/run", errno=EACCES, who=owner) == ""
    file.chmod(0o070)
    assert "user 0 " in why_not_found(tmp_path, "/run", errno=EACCES, who=owner)
    file.chmod(0o644)
    assert why_not_found(tmp_path, "/run", errno=EACCES, who=None) == "it is not executable (mode 0644)"


def test_a_directory_that_the_user_may_not_enter(tmp_path: Path) -> None:
    file = place(tmp_path, "/home/run")
    file.parent.chmod(0o700)
    facts = file.stat()
    stranger = program.Who(facts.st_uid + 1, [facts.st_gid + 1], 7)
    assert why_not_found(tmp_path, "/home/run", errno=EACCES, who=stranger) == (
        "user 7 of the container may not enter `/home` (mode 0700)"
    )


def test_a_name_without_a_slash(tmp_path: Path) -> None:
    assert why_not_found(tmp_path, "/usr/bin/x", "/bin/x", errno=ENOENT) == "PATH is `/usr/bin:/bin`"
    assert "PATH is not set" in why_not_found(tmp_path, errno=ENOENT)
    place(tmp_path, "/bin/x", mode=0o644)
    assert "not executable" in why_not_found(tmp_path, "/usr/bin/x", "/bin/x", errno=EACCES)


def test_the_words_by_which_callers_classify_are_not_ours(tmp_path: Path) -> None:
    """docs/callers.md: podman and docker look for these anywhere in the line."""
    text = Path(program.__file__).read_text().lower()
    for words in ("permission denied", "operation not permitted", "no such file or directory", "exec format error"):
        assert words not in text


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 6, 17, 19, 20, 31, 40, 55, 57, 63, 65, 100, 119, 121])
def test_a_file_that_is_cut_off_anywhere(tmp_path: Path, size: int) -> None:
    place(tmp_path, "/run", elf(62, GLIBC)[:size])
    for errno in (ENOENT, ENOEXEC, EACCES):
        why(tmp_path, "/run", errno)


def test_offsets_that_lead_nowhere(tmp_path: Path) -> None:
    content = bytearray(elf(62, GLIBC))
    content[32:40] = b"\xff" * 8
    place(tmp_path, "/run", bytes(content))
    assert why(tmp_path, "/run", ENOENT) == ""
    content = bytearray(elf(62, GLIBC))
    content[54:58] = b"\xff" * 4
    place(tmp_path, "/run", bytes(content))
    assert why(tmp_path, "/run", ENOENT) == ""
