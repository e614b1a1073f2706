"""A plan, and what it consists of, does not change once it is made."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Value = TypeVar("Value")


def freeze(value: "Value") -> "Value":
    """The same value: from now on setting or deleting an attribute of it raises AttributeError.

    It gets a subclass of its class that says so. A class that asked at each assignment would cost its constructor more
    than all else that it does (half a microsecond each).
    """
    kind = type(value)
    if kind.__setattr__ is _refuse:
        return value
    if kind not in _FROZEN:
        _FROZEN[kind] = type(kind.__name__, (kind,), {"__setattr__": _refuse, "__delattr__": _refuse, **_SAME})
    value.__class__ = _FROZEN[kind]
    return value


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"`{name}` of a {type(self).__name__} does not change")


_FROZEN: "dict[type, type]" = {}
_SAME: "dict[str, object]" = {"__slots__": (), "__module__": __name__}
