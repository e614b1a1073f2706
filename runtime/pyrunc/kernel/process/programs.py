"""Other people's programs that we run: where they are, and what a short one says."""

import posix

from pyrunc.kernel.descriptors import opened


def find(name: str, search: str) -> str:
    """The first executable file of that name in the absolute ones of these directories, written as in $PATH; or ""."""
    for directory in search.split(":"):
        path = f"{directory}/{name}"
        if path.startswith("/") and posix.access(path, posix.X_OK):
            return path
    return ""


def run(words: "list[str]", most: int) -> "tuple[int, str]":
    """Run the program that is named by its path in the first word, without an environment: (status as wait(2) gives it,
    the first `most` bytes of all that it prints). OSError."""
    with opened(posix.memfd_create("output", posix.MFD_CLOEXEC)) as output:
        actions = [(posix.POSIX_SPAWN_DUP2, output, 1), (posix.POSIX_SPAWN_DUP2, output, 2)]
        child = posix.posix_spawn(words[0], words, {}, file_actions=actions)
        _, status = posix.waitpid(child, 0)
        return status, posix.pread(output, most, 0).decode("utf-8", "replace")
