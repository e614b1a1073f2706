"""What an ELF file says of itself (elf(5)): 64 bits, the machine's byte order."""

import struct
from pathlib import Path
from typing import NamedTuple

ET_DYN = 3
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
DT_NEEDED, DT_PLTRELSZ, DT_STRTAB, DT_RELASZ, DT_STRSZ, DT_RPATH, DT_RELSZ = 1, 2, 5, 8, 10, 15, 18
DT_TEXTREL, DT_RUNPATH, DT_FLAGS, DT_RELRSZ, DT_FLAGS_1 = 22, 29, 30, 35, 0x6FFFFFFB
DF_BIND_NOW, DF_TEXTREL, DF_1_NOW = 8, 4, 1


class Segment(NamedTuple):
    """A program header."""

    kind: int
    flags: int
    offset: int
    address: int
    paddr: int
    size: int
    memory: int
    align: int


class Elf:
    """A file's type, segments and dynamic section."""

    def __init__(self, path: Path) -> None:
        """Read the file."""
        self.content = path.read_bytes()
        assert self.content[:5] == b"\x7fELF\x02", f"{path} is no ELF file of 64 bits"
        (self.kind,) = struct.unpack_from("@H", self.content, 16)
        (headers,) = struct.unpack_from("@Q", self.content, 32)
        size, count = struct.unpack_from("@HH", self.content, 54)
        places = range(headers, headers + count * size, size)
        self.segments = [Segment(*struct.unpack_from("@IIQQQQQQ", self.content, place)) for place in places]
        self.dynamic: dict[int, int] = {}
        for segment in self.of_kind(PT_DYNAMIC):
            for at in range(segment.offset, segment.offset + segment.size, 16):
                tag, value = struct.unpack_from("@qQ", self.content, at)
                self.dynamic.setdefault(tag, value)

    def of_kind(self, kind: int) -> list[Segment]:
        """The segments of that kind."""
        return [segment for segment in self.segments if segment.kind == kind]

    def bytes_of(self, segment: Segment) -> bytes:
        """What a segment has in the file."""
        return self.content[segment.offset : segment.offset + segment.size]

    def names(self) -> set[str]:
        """All that the dynamic section names: symbols, and libraries."""
        where = self.dynamic[DT_STRTAB]
        (load,) = (s for s in self.of_kind(PT_LOAD) if s.address <= where < s.address + s.size)
        start = where - load.address + load.offset
        return set(self.content[start : start + self.dynamic[DT_STRSZ]].decode().split("\0"))
