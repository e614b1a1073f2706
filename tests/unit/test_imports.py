"""Who imports whom, by the syntax trees of all modules, and what a command loads at start-up."""

import ast
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imports import HOT, loaded

PACKAGE = Path(__file__).resolve().parents[2] / "runtime/pyrunc"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Part -> the parts that it may import, besides itself and the package's constants. `kernel` knows nothing of configs
# and containers; `planning` alone knows both a config and the kernel; later lines may look at earlier ones only.
MAY_IMPORT = {
    "errors": (),
    "words": (),
    "startup": (),
    "ending": ("errors",),
    "jsontext": ("errors",),
    "arguments": ("errors",),
    "lifecycle": ("errors",),
    "bundle": ("errors", "jsontext", "kernel"),
    "kernel": ("errors", "jsontext", "words"),
    "log": ("errors", "jsontext", "kernel"),
    "host": ("errors", "kernel"),
    "spec": ("errors", "words"),
    "cgroup": ("errors", "kernel"),
    "hooks": ("errors", "jsontext", "kernel"),
    "stateroot": ("errors", "kernel"),
    "savedstate": ("errors", "lifecycle", "kernel", "cgroup"),
    "container": ("errors", "jsontext", "lifecycle", "savedstate", "stateroot", "kernel", "cgroup"),
    "resources": ("errors", "kernel", "cgroup"),
    "destroy": (
        "errors", "lifecycle", "kernel", "cgroup", "hooks", "spec", "savedstate", "container", "resources",
    ),
    "planning": ("errors", "lifecycle", "kernel", "cgroup", "spec"),
    "stages": (
        "errors", "ending", "jsontext", "log", "kernel", "cgroup", "hooks", "savedstate", "container",
        "resources", "words",
    ),
    "commands": (
        "errors", "jsontext", "arguments", "lifecycle", "log", "bundle", "kernel", "host", "spec", "cgroup", "hooks",
        "container", "planning", "stages",
        "context", "destroy", "ending", "resources", "savedstate", "stateroot", "words",
    ),
    "context": ("errors", "jsontext", "arguments", "log", "bundle", "host", "kernel"),
    "cli": ("errors", "startup", "ending", "jsontext", "arguments", "log", "context", "kernel"),
}  # fmt: skip


# Wing -> the modules of the core that may name it. Those with commands are named by `cli.WINGS` alone. A wing may
# import the core, and other wings.
WINGS = {
    "control": (),
    "copyup": ("kernel.mount.filesystems", "stages.init"),
    "criu": (),
    "doctor": ("commands.create",),
    "documents": (),
    "events": (),
    "explain": ("stages.step_report",),
    "foreground": ("commands.exec", "commands.run"),
    "idmapped": ("planning.mounts", "spec.rules"),
    "logdaemon": ("log",),
    "netdevices": ("planning.facts", "planning.optional", "resources"),
    "resctrl": ("commands.exec", "planning.facts", "planning.optional", "resources", "stages.parent"),
    "seccomp": (
        "commands.create", "commands.exec", "commands.start", "planning.security", "stages.exec_parent",
        "stages.security_steps",
    ),
    "systemd": (
        "cgroup.manager", "commands.create", "commands.start", "planning.cgroup", "planning.container",
        "planning.mounts",
    ),
}  # fmt: skip


def wing(dotted: str) -> str:
    """The wing that a module is of, "" for the core."""
    return dotted.split(".")[1] if dotted.startswith("wings.") else ""


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are executed: what is for the type checker alone is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from runtime_nodes(node)


def own_imports(path: Path) -> Iterator[str]:
    """Dotted names below `pyrunc` that a module imports, anywhere in it."""
    package = path.relative_to(PACKAGE).parent.parts
    for node in runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                module = package[: len(package) - node.level + 1] + module
            elif module[:1] == ("pyrunc",):
                module = module[1:]
            else:
                continue
            yield from (".".join((*module, alias.name)) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name[7:] for alias in node.names if alias.name.startswith("pyrunc."))


def part(dotted: str) -> str:
    """The part of the program that a module or a name belongs to: the first component."""
    return dotted.partition(".")[0]


def name(path: Path) -> str:
    """A module's dotted name below `pyrunc`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_in_one_direction(path: Path) -> None:
    own = part(name(path))
    if own == "__init__":
        assert not list(own_imports(path))
        return
    if own == "wings":
        return
    foreign = {target for target in own_imports(path) if part(target) in MAY_IMPORT and part(target) != own}
    assert {target for target in foreign if part(target) not in MAY_IMPORT[own]} == set()


def test_every_part_has_a_place_in_the_order() -> None:
    assert {part(name(path)) for path in MODULES} - {"__init__", "wings"} == set(MAY_IMPORT)


def test_the_core_names_a_wing_only_where_it_asks_for_it() -> None:
    named: dict[str, set[str]] = {name: set() for name in WINGS}
    for path in MODULES:
        if not wing(name(path)):
            for target in filter(wing, own_imports(path)):
                named[wing(target)].add(name(path))
    assert {key: tuple(sorted(modules)) for key, modules in named.items()} == WINGS
    assert {wing(name(path)) for path in MODULES if name(path).startswith("wings.")} - {"__init__"} == set(WINGS)


def test_pip_installs_every_package() -> None:
    settings = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())
    listed = set(settings["tool"]["setuptools"]["packages"])
    assert listed == {".".join(("pyrunc", *path.parent.relative_to(PACKAGE).parts)) for path in MODULES}


def test_only_cli_reads_the_environment_and_the_arguments() -> None:
    readers = set()
    for path in MODULES:
        for node in runtime_nodes(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "posix.environ", "sys.argv"):
                readers.add(name(path))
    assert readers == {"cli"}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_import_at_their_start_only_what_is_cheap(path: Path) -> None:
    """The rest is imported in the function that needs it."""
    tree = ast.parse(path.read_text())
    imported = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(str(node.module).partition(".")[0])
    assert imported - HOT - {"pyrunc", "__future__"} == set()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["--root", "state", "state", "nobody"], 1),
        (["--root", "state", "start", "nobody"], 1),
        (["--root", "state", "kill", "nobody", "9"], 1),
        (["--root", "state", "delete", "--force", "nobody"], 0),
        (["--log", "log", "--log-format=json", "--root", "state", "create", "--bundle", ".", "nobody"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_only_what_is_cheap(tmp_path: Path, arguments: list[str], status: int) -> None:
    """What whole life cycles load is tested as root, in tests/system/test_imports.py."""
    users = {"pwd"} if os.geteuid() else set()  # subordinate ids are granted to the name of an ordinary user
    assert loaded(*arguments, directory=tmp_path, expect=status) - HOT - users == set()
