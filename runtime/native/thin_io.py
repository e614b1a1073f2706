"""`io` of the native launcher (launcher.c): what is written in C, without the abstract classes in Python above it.

Whoever asks for one of those, or for what else is not here, gets the standard library's module, which fills this one.
"""

from _io import *  # noqa: F403  (whatever a version has)

SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2


def __getattr__(name):
    from _frozen_importlib_external import PathFinder

    spec = PathFinder.find_spec("io")  # in sys.path, which is empty where it would be the image's
    if spec is None:
        raise ImportError("importing is switched off", name="io")
    names = globals()
    del names["__getattr__"]  # some versions have one of their own
    exec(spec.loader.get_code("io"), names)  # noqa: S102  (as importlib does)
    if name not in names:
        raise AttributeError(f"module 'io' has no attribute {name!r}", name=name)
    return names[name]
