"""`encodings` of the native launcher (launcher.c): the interpreter's start asks for UTF-8 and nothing else of it.

Whoever asks for more gets the standard library's module, which fills this one: for another encoding, for what a codec
of Python has beyond that of C, for a name that is not here. (docs/adr/0011 has what that saves.) The build adds the
`__path__`, by which its own modules are found.
"""

import _codecs


class _Info(tuple):
    """A `codecs.CodecInfo`: what C asks for. That finds by the name that it can encode UTF-8 itself."""

    __slots__ = ()
    name = "utf-8"
    _is_text_encoding = True

    def incrementalencoder(self, errors="strict"):
        return _Encoder(errors)

    def incrementaldecoder(self, errors="strict"):
        return _Decoder(errors)

    def __getattr__(self, name):
        _load()
        return getattr(_codecs.lookup("utf-8"), name)


class _Encoder:
    """Every text stream has one, and C encodes UTF-8 without asking it. It has no state."""

    def __init__(self, errors):
        self.errors = errors

    def encode(self, text, final=False):  # noqa: ARG002
        return _codecs.utf_8_encode(text, self.errors)[0]

    def reset(self):
        pass

    def getstate(self):
        return 0

    def setstate(self, state):
        pass


class _Decoder:
    """Standard input has one from the start, and hardly ever uses it: the standard library's, as soon as it does."""

    def __init__(self, errors):
        self.errors = errors

    def __getattr__(self, name):
        if name == "_real":
            _load()
            self._real = _codecs.lookup("utf-8").incrementaldecoder(self.errors)
            return self._real
        return getattr(self._real, name)


def _search(name):
    if name in ("utf-8", "utf_8"):
        return _Info((_codecs.utf_8_encode, _codecs.utf_8_decode, None, None))
    _load()
    return search_function(name)  # noqa: F821  (of the standard library's, from now on)


def _load():
    """Execute the standard library's module in the place of this one."""
    if "search_function" not in globals():
        from _frozen_importlib_external import PathFinder

        spec = PathFinder.find_spec("encodings")  # in sys.path, which is empty where it would be the image's
        if spec is None:
            raise ImportError("importing is switched off", name="encodings")
        del globals()["__getattr__"]
        exec(spec.loader.get_code("encodings"), globals())  # noqa: S102  (as importlib does)
        _codecs.unregister(_search)  # and with it goes all that it has found


def __getattr__(name):
    _load()
    if name not in globals():
        raise AttributeError(f"module 'encodings' has no attribute {name!r}", name=name)
    return globals()[name]


_codecs.register(_search)
