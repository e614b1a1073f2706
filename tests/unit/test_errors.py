"""Errors as text: one line, short enough for conmon, with the kernel's words behind its object;
and made without importing, because a child in the container cannot."""

import re
import subprocess
import sys
import textwrap
from errno import EACCES, ENOENT, EPERM

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrunc import errors
from pyrunc.errors import ConfigError, NotFound, PyruncError, printable, shortened
from pyrunc.stages import channel, step_report
from pyrunc.stages.conversation import CREATED
from pyrunc.stages.step_list import StepList

from tests.imports import interpreter
from tests.runtime import CHECKOUT

PROFILE = settings(max_examples=200, deadline=None, database=None)
ANY = st.characters()  # surrogates, too: names of files are not always UTF-8
PARTS = st.builds(
    lambda text, times: text * times, st.text(ANY, max_size=20), st.sampled_from([0, 1, 1, 60, 1500, 5000])
)
ERRORS = st.builds(
    lambda kind, message, errno, pointer, hint: kind(message, errno=errno, pointer=pointer, hint=hint),
    st.sampled_from([PyruncError, ConfigError, NotFound]), PARTS, st.integers(0, 133), PARTS, PARTS,
)  # fmt: skip


@PROFILE
@given(ERRORS)
def test_one_line_with_the_kernels_words_behind_the_message(error: PyruncError) -> None:
    text = str(error)
    assert text.isprintable()
    assert len(text.encode()) <= errors.MESSAGE_LIMIT
    assert text.startswith(printable(error.message[:100])[:100])
    words = f": {errors.strerror(error.errno)}" if error.errno else ""
    if error.pointer or error.hint:
        assert f"{words} (" in text
        assert text.endswith(")")
    else:
        assert text.endswith(words)


@PROFILE
@given(ERRORS)
def test_what_a_child_tells_fits_into_its_packet(error: PyruncError) -> None:
    ours, theirs = channel.pair()
    try:
        theirs.send_error(error)
        with pytest.raises(type(error)) as caught:
            ours.expect(CREATED, "setting up")
    finally:
        ours.close()
        theirs.close()
    told = caught.value
    assert told.errno == error.errno
    for was, now in ((error.message, told.message), (error.pointer, told.pointer), (error.hint, told.hint)):
        there = was.encode("utf-8", "replace").decode()  # a socket's JSON is UTF-8
        assert now[:100] == there[:100]
        assert now[-100:] == there[-100:]


@PROFILE
@given(PARTS, st.integers(20, 5000))
def test_shortened(text: str, limit: int) -> None:
    result = shortened(text, limit)
    assert len(result.encode("utf-8", "replace")) <= limit
    assert result == text or len(text.encode("utf-8", "replace")) > limit


@PROFILE
@given(st.text(ANY))
def test_escapes_are_those_of_python(text: str) -> None:
    assert printable(text) == "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@pytest.mark.parametrize("text", ["a" * 300_000, "\u20ac\x1f" * 1000])
def test_label_of_a_step_keeps_its_pointer(text: str) -> None:
    """pyrunc-init sends 400 bytes of it."""
    steps = StepList()
    steps.call("getpid", label=f"change to `{text}`", pointer="/process/cwd")
    data = steps.data()
    label = data[data.index(b"change to") :].partition(b"\0")[0]
    assert len(label) <= 400
    header = b"\0" * 8 + (2).to_bytes(4, sys.byteorder) + b"\0" * 4
    error = step_report.error_of(header + label)
    assert str(error).endswith("`: No such file or directory (config.json: /process/cwd)")


CHILD = """
    import sys
    sys.path.append({path!r})
    from pyrunc import errors, jsontext, log
    from pyrunc.stages import channel, step_report

    sys.meta_path.clear()
    sys.path_hooks.clear()
    loaded = set(sys.modules)
    characters = [chr(code) for code in [*range(0x300), 0x2028, 0xD800, 0xDCFF, 0xFFFF, 0x1F600, 0x10FFFF]]
    ours, theirs = channel.pair()
    for kind in (*errors._KINDS.values(), errors.UsageError):
        for errno in range(140):
            for text in (*characters[errno::140], "".join(characters) * 90):
                error = kind(text, errno=errno, pointer=text, hint=text)
                str(error), errors.PyruncError.from_os(text, OSError(errno, text))
                theirs.send_failure(error, text, text)
                errors.PyruncError.from_wire(jsontext.loads(ours.receive().partition(b" ")[2], "x"))
    theirs.send_failure(OSError(2, "x", "".join(characters)), "open", "init")
    theirs.send_failure(LookupError("".join(characters)), "open", "init")
    step_report.error_of(b"\\0" * 16 + "".join(characters).encode("utf-8", "replace"))
    log.Log().error("".join(characters))
    assert set(sys.modules) == loaded, set(sys.modules) - loaded
    print("done")
"""


def test_nothing_is_imported_for_it() -> None:
    script = textwrap.dedent(CHILD.format(path=str(CHECKOUT / "runtime")))
    done = subprocess.run([*interpreter(), "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr[-2000:]


# As podman has them: libpod/oci_conmon_linux.go and libpod/define/errors.go.
NOT_PERMITTED = re.compile("(?i).*permission denied.*|.*operation not permitted.*")
NOT_FOUND = re.compile("(?i).*executable file not found in.*|.*no such file or directory.*|.*open executable.*")


@pytest.mark.parametrize("aside", [{}, {"pointer": "/process"}, {"hint": "make it"}, {"pointer": "/a", "hint": "b"}])
def test_podman_tells_errors_apart_wherever_the_words_stand(aside: dict[str, str]) -> None:
    for number in range(1, 134):
        text = f"Error: OCI runtime error: pyrunc: {PyruncError('chdir to `/x`', errno=number, **aside)}"
        assert bool(NOT_PERMITTED.fullmatch(text)) == (number in {EPERM, EACCES})
        assert bool(NOT_FOUND.fullmatch(text)) == (number == ENOENT)
