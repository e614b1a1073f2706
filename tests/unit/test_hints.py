"""No text of ours tells a user to weaken his host: to switch a protection off for all programs, or to take the
confinement off a container that we run in. What is wrong is repaired for this program alone, or named."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.runtime import CHECKOUT

WEAKENING = re.compile(
    r"sysctl|/proc/sys/\S+ *=|echo \d+ *>"  # but for LIMITS
    r"|chmod|chown|\b(?:0?777|u\+s|[ago]*\+w)\b|setcap"  # but for OWN
    r"|--privileged|unconfined`|=unconfined|label=disable|unmask=|--cap-add (?:ALL|SYS_ADMIN)|apparmor=0|selinux=0"
    r"|setenforce|SELINUX=|aa-(?:disable|teardown|complain)|(?:stop|disable|mask) apparmor|apparmor_parser -R"
    r"|remount,|\bumount\b|mitigations=|--no-verify|seccomp=none|NOPASSWD|\bsudo\b",
)
LIMITS = re.compile(r"sysctl(?: -w)? (?:user\.max_user_namespaces=100000|\{\}=15000|fs\.pipe-max-size=\d+)$")
"""How many there may be, not who may do what. The second is of the other types of namespaces."""
OWN = (
    "chown -R root: {} && chmod -R go-w {}",  # pyrunc's package: nobody else may change it any more
    "mkdir {} && chown {} {} {}/cgroup.*, enable controllers in {}, move the user there",  # a user's cgroup, delegated
)


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string in the code but docstrings; what is put into one is `{}`."""
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings | inner:
            yield node.value


def advice(text: str) -> bool:
    """Whether it is words for a user, and no path, name or format."""
    return " " in text.strip()


def test_no_text_weakens_the_host() -> None:
    seen, found = 0, []
    for path in sorted((CHECKOUT / "runtime/pyrunc").rglob("*.py")):
        for text in filter(advice, texts(ast.parse(path.read_text()))):
            seen += 1
            for part in text.split("; "):
                command = part.partition(", or ")[0]
                if WEAKENING.search(part) and not LIMITS.match(command) and part not in OWN:
                    found.append(f"{path.name}: {text}")
    assert seen > 500
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    ["sysctl -w kernel.apparmor_restrict_unprivileged_userns=0", "chmod go-w /tmp", "`chmod a+w` it", "setenforce 0",
     "start it with `--privileged`", "`--security-opt seccomp=unconfined`", "mount -o remount,suid /usr",
     "umount /proc/kcore",
     "echo 1 > /proc/sys/kernel/unprivileged_userns_clone", "systemctl stop apparmor", "chmod u+s newuidmap"],
)  # fmt: skip
def test_what_is_found(text: str) -> None:
    assert WEAKENING.search(text)
    assert not LIMITS.match(text)
