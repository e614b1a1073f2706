"""Capabilities: the names of capabilities(7) and sets of them as bit masks."""

from _struct import pack
from errno import EINVAL

from pyrunc import words
from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls

NAMES = words.CAPABILITIES  # the index is the number
_NUMBERS = {name: number for number, name in enumerate(NAMES)}
_VERSION_3, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 0x20080522, 47, 2
HIGHEST = 63  # the sets have 64 bits: what newer kernels know fits as well
ALL = (1 << len(NAMES)) - 1


def mask(names: "list[str] | tuple[str, ...]") -> int:
    """The bit mask of these capabilities; names that are not known are left out (the caller has warned)."""
    result = 0
    for name in names:
        number = _NUMBERS.get(name)
        if number is not None:
            result |= 1 << number
    return result


def names(mask_: int) -> str:
    """The names of a mask's capabilities, with commas."""
    return ", ".join(name for number, name in enumerate(NAMES) if mask_ >> number & 1)


def packed(effective: int, permitted: int, inheritable: int) -> "tuple[bytes, bytes]":
    """The sets of this process as capset(2) takes them: header and data."""
    halves = [mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in (effective, permitted, inheritable)]
    return pack("@Ii", _VERSION_3, 0), pack("@6I", *halves)


def keep_over_exec() -> None:
    """Let the next program have all capabilities of this process, which has them without being uid 0: the ambient set
    does that, and the inheritable one has to have what is in it. Until it is cleared, the program's children have them
    as well."""
    ours = bounding()
    syscalls.capset(*packed(ours, ours, ours))
    for number in range(ours.bit_length()):
        if ours >> number & 1:
            syscalls.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)


def bounding(asked: int = ALL) -> int:
    """Those capabilities of `asked` that are in the bounding set of this process, as far as we know the names.

    Asked of prctl(2): /proc may be the image's where this is called. Raises PyruncError: what cannot be asked about may
    be there.
    """
    import _prctl

    result = 0
    for number, name in enumerate(NAMES):
        if not asked >> number & 1:
            continue
        try:
            present = _prctl.prctl(_prctl.PR_CAPBSET_READ, number)
        except ValueError:  # an extension that knows fewer
            break
        except OSError as error:
            if error.errno == EINVAL:  # a kernel that knows fewer
                break
            raise PyruncError.from_os(f"look for `{name}` in the bounding set", error) from None
        result |= present << number
    return result
