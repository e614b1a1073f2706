"""`kill --regex` and `delete --regex`: one command for all containers whose ids fit, as crun has it."""

from pyrunc.context import Context
from pyrunc.errors import NotFound, PyruncError, UsageError

from .list import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def each(context: Context, pattern: str, do: "Callable[[str], object]") -> None:
    """Call `do` with each id in which the regular expression (Python's) is found; none is no error.

    Raises PyruncError, when all have been called, if some failed.
    """
    import re  # costs as much as the whole of `state`

    try:
        wanted = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"`{pattern}` is not a regular expression: {error}") from None
    if failed := failures([name for name in names(context) if wanted.search(name)], do):
        raise PyruncError(failed)


def failures(ids: "list[str]", do: "Callable[[str], object]") -> str:
    """Call `do` with each; what has failed, in one line, or ""."""
    failed: list[str] = []
    for name in ids:
        try:
            do(name)
        except NotFound:  # gone meanwhile, or none of ours
            pass
        except PyruncError as error:
            failed.append(f"`{name}`: {error}")
    return "; ".join(failed)
