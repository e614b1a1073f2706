"""CRIU's requests and answers as bytes: protocol buffers, by the numbers in CRIU's images/rpc.proto.

Of the encoding (protobuf.dev, "Encoding") this takes what those messages use: whole numbers, and what has a length.
"""

from pyrunc.errors import PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Value = int | str | Mapping[str, "Value"] | list["Value"]
    Message = Mapping[str, Value]
    Fields = Mapping[str, "int | tuple[int, Fields]"]

# enum criu_req_type
DUMP, RESTORE, PRE_DUMP, NOTIFY, VERSION = 1, 2, 4, 6, 10
# enum criu_cg_mode
CGROUP_MODES = {"ignore": 0, "none": 1, "props": 2, "soft": 3, "full": 4, "strict": 5}
# enum criu_network_lock_method
NETWORK_LOCKS = {"iptables": 1, "nftables": 2, "skip": 3}

# message criu_opts: the name of each field that we use, its number and, if it is a message itself, its fields
OPTIONS: "Fields" = {
    "images_dir_fd": 1, "pid": 2, "leave_running": 3, "ext_unix_sk": 4, "tcp_established": 5, "shell_job": 7,
    "file_locks": 8, "log_level": 9, "log_file": 10, "ps": (11, {"address": 1, "port": 2}), "notify_scripts": 12,
    "root": 13, "parent_img": 14, "track_mem": 15, "auto_dedup": 16, "work_dir_fd": 17, "link_remap": 18,
    "ext_mnt": (23, {"key": 1, "val": 2}), "cg_root": (25, {"ctrl": 1, "path": 2}), "rst_sibling": 26,
    "inherit_fd": (27, {"key": 1, "fd": 2}), "manage_cgroups_mode": 34, "external": 37, "empty_ns": 38,
    "join_ns": (39, {"ns": 1, "ns_file": 2}), "freeze_cgroup": 44, "tcp_skip_in_flight": 46, "lazy_pages": 48,
    "status_fd": 49, "orphan_pts_master": 50, "config_file": 51, "tcp_close": 52, "lsm_profile": 53,
    "lsm_mount_context": 63, "network_lock": 64,
}  # fmt: skip
REQUEST: "Fields" = {"type": 1, "opts": (2, OPTIONS), "notify_success": 3}

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types


def encode(fields: "Fields", message: "Message") -> bytes:
    """A message as bytes; a list is a repeated field. KeyError for a name that `fields` lacks."""
    result = b""
    for name, value in message.items():
        entry = fields[name]
        number, inner = entry if isinstance(entry, tuple) else (entry, {})
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                result += _varint(number << 3 | _VARINT) + _varint(one & 0xFFFFFFFFFFFFFFFF)
                continue
            assert not isinstance(one, list)
            data = one.encode("utf-8", "surrogateescape") if isinstance(one, str) else encode(inner, one)
            result += _varint(number << 3 | _LENGTH) + _varint(len(data)) + data
    return result


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def decode(data: bytes) -> "dict[int, int | bytes]":
    """Field number -> value of a message: a number, or the bytes of a string or message. Of several the last."""
    result: dict[int, int | bytes] = {}
    at = 0
    try:
        while at < len(data):
            key, at = _read_varint(data, at)
            kind = key & 7
            value: int | bytes
            if kind == _VARINT:
                value, at = _read_varint(data, at)
            else:
                size, at = _read_varint(data, at) if kind == _LENGTH else ({_FIXED64: 8, _FIXED32: 4}[kind], at)
                value, at = data[at : at + size], at + size
                if at > len(data):
                    raise IndexError
            result[key >> 3] = value
    except (IndexError, KeyError):
        raise PyruncError("criu's answer is malformed") from None
    return result


def _read_varint(data: bytes, at: int) -> "tuple[int, int]":
    value = 0
    for shift in range(0, 64, 7):  # a number has 64 bits, in 10 bytes at most
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise IndexError


class Response:
    """message criu_resp. pid: of a restored process, or the one that a notification is about; script: its name."""

    __slots__ = ("errno", "kind", "pid", "script", "success", "text", "version")

    def __init__(self, data: bytes) -> None:
        fields = decode(data)
        self.kind, self.success = _number(fields, 1), bool(_number(fields, 2))
        self.errno, self.text = _number(fields, 7), _text(fields, 9)
        restore, notify, version = (_message(fields, number) for number in (4, 5, 10))
        self.script = _text(notify, 1)
        self.pid = _number(restore, 1) or _number(notify, 2)
        # As criu's own option --version counts: 31700 is 3.17.0.
        self.version = _number(version, 1) * 10000 + _number(version, 2) * 100 + _number(version, 4)


def _number(fields: "dict[int, int | bytes]", number: int) -> int:
    value = fields.get(number, 0)
    return value if isinstance(value, int) else 0


def _text(fields: "dict[int, int | bytes]", number: int) -> str:
    value = fields.get(number, b"")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _message(fields: "dict[int, int | bytes]", number: int) -> "dict[int, int | bytes]":
    value = fields.get(number, b"")
    return decode(value) if isinstance(value, bytes) else {}
