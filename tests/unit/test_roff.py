"""The Markdown of docs/man becomes roff; what the converter does not know is an error, never text that is wrong."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "runtime/packaging"))

from roff import MarkdownError, escaped, roff


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("Runs *ID* by **crun**(8).", r"Runs \fIID\fR by \fBcrun\fR(8)."),
        ("**criu\npage-server**", "\\fBcriu\npage\\-server\\fR"),
        ("`'a * b' --c`*NAME*", r"\fB\(aqa * b\(aq \-\-c\fR\fINAME\fR"),
        (r"2 \* 3 \\ \`", r"2 * 3 \e \(ga"),
        ("the host's ~ and ^", r"the host's \(ti and \(ha"),
        ("One.\n\nTwo\nlines.", "One.\n.PP\nTwo\nlines."),
        ("First.\n\n## Exit status\n\n0", "First.\n.SH EXIT STATUS\n0"),
        ("**--root**\n:   Where\n    it is.\n\nAfter.", ".TP\n\\fB\\-\\-root\\fR\nWhere\nit is.\n.PP\nAfter."),
        ("```\na  'b'\n\n.c \\\n```", ".EX\na  \\(aqb\\(aq\n\n\\&.c \\e\n.EE"),
        ("```sh\na\n```\n\n```\n* b\n```", ".EX\na\n.EE\n.PP\n.EX\n* b\n.EE"),
        ("ends\n.with a dot\n'and an apostrophe", "ends\n\\&.with a dot\n\\&'and an apostrophe"),
    ],
)
def test_markdown_becomes_roff(markdown: str, expected: str) -> None:
    assert roff(markdown) == expected


@pytest.mark.parametrize(
    "unknown",
    [
        "# Title",
        "### Deeper",
        "## Heading\nand text",
        "- item",
        "* item\n* item",
        "1. item",
        "> quoted",
        "    indented",
        "| a | b |",
        "<b>bold</b>",
        ":   a definition without a term",
        "**bold",
        "bold**",
        "an *emphasis",
        "a `code",
        "[text](https://example.org)",
        "```\nno end",
        "```\nend\n```\nand text",
    ],
)
def test_everything_else_is_an_error_with_its_line(unknown: str) -> None:
    with pytest.raises(MarkdownError, match=r"^line 3: "):
        roff(f"First.\n\n{unknown}")


def test_plain_text_has_no_marks_and_no_requests() -> None:
    assert escaped(r".a *b* `c` \n-") == r"\&.a *b* \(gac\(ga \en\-"
