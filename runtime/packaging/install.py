"""Install what `make build docs` made, or remove it.

    PREFIX/bin/pyrunc                 the launcher, bound to the interpreter that its modules were compiled for: a
                                      program around that interpreter's library, or a script if it has none
    PREFIX/lib/pyrunc/                the package and, privately, the packages that it needs
    PREFIX/share/man/man8/            a page for pyrunc and one for each command
    PREFIX/share/{bash-completion/completions,zsh/...,fish/vendor_completions.d}/
    SYSCONFDIR/containers/containers.conf.d/60-pyrunc.conf    (with --vendor PREFIX/share/containers/...)

DESTDIR goes before all of these on disk, and into none of the files.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import launcher
import modules
import native_launcher

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
BUILD = CHECKOUT / "build"
DROP_IN = "containers/containers.conf.d/60-pyrunc.conf"
PACKAGE_FILES = ("*.py", "*.abi3.so", "pyrunc-init", "*.schema.json")


class Layout:
    """Where things go. `on_disk(path)` is the place of an installed path below DESTDIR."""

    def __init__(self, prefix: str, sysconfdir: str, destdir: str, *, vendor: bool = False) -> None:
        self.prefix, self.destdir = Path(prefix), destdir
        self.program = self.prefix / "bin/pyrunc"
        self.library = self.prefix / "lib/pyrunc"
        self.manual = self.prefix / "share/man/man8"
        self.drop_in = (self.prefix / "share" if vendor else Path(sysconfdir)) / DROP_IN
        self.registration = "containers-vendor.conf" if vendor else "containers.conf"
        # Debian's zsh looks into site-functions below /usr/local alone.
        zsh = "vendor-completions" if self.prefix == Path("/usr") else "site-functions"
        self.completions = {
            "pyrunc.bash": self.prefix / "share/bash-completion/completions/pyrunc",
            "_pyrunc": self.prefix / "share/zsh" / zsh / "_pyrunc",
            "pyrunc.fish": self.prefix / "share/fish/vendor_completions.d/pyrunc.fish",
        }

    def on_disk(self, path: Path) -> Path:
        return Path(f"{self.destdir}{path}") if self.destdir else path


def install(layout: Layout, python: str, kind: str) -> None:
    """Install everything; an older installation is replaced as a whole."""
    _library(layout, python)
    _program(layout, python, kind)
    pages = sorted((BUILD / "man").glob("*.8"))
    for page in pages:
        _copy(page, layout.on_disk(layout.manual / page.name))
    for name, target in layout.completions.items():
        _copy(BUILD / "completions" / name, layout.on_disk(target))
    text = (HERE / layout.registration).read_text().replace("@PROGRAM@", str(layout.program))
    drop_in = layout.on_disk(layout.drop_in)
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(text)
    drop_in.chmod(0o644)


def _program(layout: Layout, python: str, kind: str) -> None:
    """The launcher: native, a script, or ("auto") native where that can be built."""
    target, body = layout.on_disk(layout.program), launcher.body([str(layout.library)], layout.library)
    if kind != "script":
        try:
            native_launcher.write(target, python, body)
            return
        except native_launcher.CannotBuildError as error:
            if kind == "native":
                sys.exit(f"no native launcher can be built: {error}")
            sys.stdout.write(f"the launcher is a script, which starts a little slower: {error}\n")
    launcher.write(target, python, body)


def _library(layout: Layout, python: str) -> None:
    """Fill a directory beside the library's place and swap it in: podman may call pyrunc meanwhile."""
    final = layout.on_disk(layout.library)
    new, old = final.with_name("pyrunc.new"), final.with_name("pyrunc.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    _dependencies(new)
    source = CHECKOUT / "runtime/pyrunc"
    for pattern in PACKAGE_FILES:
        for file in sorted(source.rglob(pattern)):
            _copy(file, new / "pyrunc" / file.relative_to(source))
    # Without a time in it a cache file is the same whenever it is built, and stays valid whatever a package manager
    # does to the sources' times. Loading costs the same.
    compileall.compile_dir(
        new,
        quiet=1,
        stripdir=str(new),
        prependdir=str(layout.library),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=1,
    )
    _modules_of_commands(new, layout.library, python)
    _set_modes(new)
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _modules_of_commands(library: Path, installed: Path, python: str) -> None:
    """Write the files that `pyrunc.startup` reads."""
    words = [python, "-IS", "-X", "no_debug_ranges", str(HERE / "modules.py")]
    for command in modules.COMMANDS:
        subprocess.run([*words, command, str(library), str(installed)], check=True)


def _dependencies(target: Path) -> None:
    """The packages that pyrunc needs, from the wheels of the build."""
    requirements = [sys.executable, str(HERE / "requirements.py"), "runtime"]
    wanted = subprocess.run(requirements, check=True, capture_output=True, text=True).stdout.split("\n")
    pip = [str(BUILD / "venv/bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    pip += ["--no-index", "--find-links", str(BUILD / "wheels"), "--target", str(target), "--no-compile"]
    pip += ["--root-user-action=ignore", *filter(None, wanted)]
    subprocess.run(pip, check=True)
    shutil.rmtree(target / "bin", ignore_errors=True)  # programs of the dependencies, for their own users


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.name == "pyrunc-init" else 0o644)


def _set_modes(directory: Path) -> None:
    """Readable for everybody, whatever the umask of the one who installs."""
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.name == "pyrunc-init" else 0o644)


def remove(layout: Layout) -> None:
    """Remove what `install` has put, and nothing else."""
    shutil.rmtree(layout.on_disk(layout.library), ignore_errors=True)
    manual = layout.on_disk(layout.manual)
    files = [layout.program, *layout.completions.values(), layout.drop_in]
    for path in [*map(layout.on_disk, files), manual / "pyrunc.8", *manual.glob("pyrunc-*.8")]:
        path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Install or remove pyrunc.")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--sysconfdir", default="/etc")
    parser.add_argument("--destdir", default="")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the launcher")
    kinds = ("auto", "native", "script")
    parser.add_argument("--launcher", choices=kinds, default="auto", help="auto: native where that can be built")
    parser.add_argument("--vendor", action="store_true", help="register where podman 6 reads what packages have put")
    parser.add_argument("--remove", action="store_true")
    arguments = parser.parse_args()
    os.umask(0o022)  # a caller's may let others write into the directories that are made here
    destdir = arguments.destdir.rstrip("/")
    layout = Layout(arguments.prefix, arguments.sysconfdir, destdir, vendor=arguments.vendor)
    try:
        if arguments.remove:
            remove(layout)
            return
        install(layout, arguments.python, arguments.launcher)
    except PermissionError as error:
        sys.exit(f"{error.filename}: permission denied; try `sudo make {'un' * arguments.remove}install`")
    sys.stdout.write(f"installed {layout.on_disk(layout.program)}\n")


if __name__ == "__main__":
    main()
