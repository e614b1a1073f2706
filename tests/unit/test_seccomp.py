"""Profiles compiled to filters: what they answer to system calls, on a machine for BPF."""

import errno
import os
import platform
from pathlib import Path

import pytest
from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel import library, syscalls
from pyrunc.wings.seccomp import enosys, filtercache, filters

from tests.seccomp_profiles import Profile, Rule

from .bpf_machine import AARCH64, ALLOW, ERRNO, I386, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE, TRAP, X32_BIT, run

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers below are those of x86_64")

READ, MKDIR, PERSONALITY, CLONE, SECCOMP, OPENAT2, FACCESSAT2, NEWER = 0, 83, 135, 56, 317, 437, 439, 9999
READ_386, MKDIR_386, OPENAT2_386 = 3, 39, 437
DENY = "SCMP_ACT_ERRNO"
SPEC_ALLOW, LISTENER, ESRCH_FLAG = 4, 8, 16


def allow(*names: str, args=()) -> Rule:
    return Rule(names, "SCMP_ACT_ALLOW", None, args)


def answer(profile: Profile, number: int, *args: int, **how: int) -> int:
    return run(filters.filter_of(profile).instructions, number, *args, **how)


@pytest.mark.parametrize(
    ("action", "number", "result"),
    [
        ("SCMP_ACT_KILL", None, KILL_THREAD),
        ("SCMP_ACT_KILL_THREAD", None, KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", None, KILL_PROCESS),
        ("SCMP_ACT_TRAP", None, TRAP),
        ("SCMP_ACT_ERRNO", None, ERRNO | errno.EPERM),
        ("SCMP_ACT_ERRNO", 0, ERRNO),
        ("SCMP_ACT_ERRNO", 4094, ERRNO | 4094),
        ("SCMP_ACT_TRACE", None, TRACE | errno.EPERM),
        ("SCMP_ACT_TRACE", 65535, TRACE | 65535),
        ("SCMP_ACT_LOG", None, LOG),
        ("SCMP_ACT_NOTIFY", None, NOTIFY),
    ],
)
def test_action_of_a_rule_and_of_the_default(action, number, result):
    rule = Profile("SCMP_ACT_ALLOW", (Rule(("mkdir",), action, number),))
    assert (answer(rule, MKDIR), answer(rule, READ)) == (result, ALLOW)
    if action != "SCMP_ACT_NOTIFY":
        default = Profile(action, (allow("read"),), default_errno=number)
        assert (answer(default, MKDIR), answer(default, READ)) == (result, ALLOW)


@pytest.mark.parametrize(
    ("op", "value", "two", "matching", "other"),
    [
        ("SCMP_CMP_NE", 5, 0, (4, 6, 5 << 32), (5,)),
        ("SCMP_CMP_LT", 5, 0, (0, 4), (5, 6, 1 << 40)),
        ("SCMP_CMP_LE", 5, 0, (4, 5), (6, 1 << 63)),
        ("SCMP_CMP_EQ", 1 << 40 | 5, 0, (1 << 40 | 5,), (5, 1 << 40)),
        ("SCMP_CMP_GE", 5, 0, (5, 6, 1 << 40), (0, 4)),
        ("SCMP_CMP_GT", 1 << 32, 0, ((1 << 32) + 1, 1 << 63), (1 << 32, 5)),
        ("SCMP_CMP_MASKED_EQ", 0x7E020000, 0x20000, (0x20000, 0x20011), (0, 0x40020000)),
    ],
)
def test_operator(op, value, two, matching, other):
    profile = Profile(DENY, (allow("clone", args=((1, op, value, two),)),))
    for word in matching:
        assert answer(profile, CLONE, 0, word) == ALLOW, word
    for word in other:
        assert answer(profile, CLONE, 0, word) == ERRNO | errno.EPERM, word


def test_conditions_on_different_arguments_hold_together_on_one_argument_are_alternatives():
    both = Profile(DENY, (allow("clone", args=((0, "SCMP_CMP_EQ", 1, 0), (2, "SCMP_CMP_EQ", 3, 0))),))
    assert [answer(both, CLONE, *args) for args in ((1, 0, 3), (1, 0, 0), (0, 0, 3))] == [ALLOW] + 2 * [ERRNO | 1]
    either = Profile(DENY, (allow("personality", args=((0, "SCMP_CMP_EQ", 0, 0), (0, "SCMP_CMP_EQ", 8, 0))),))
    assert [answer(either, PERSONALITY, word) for word in (0, 8, 1)] == [ALLOW, ALLOW, ERRNO | 1]


def test_rules_given_twice_like_the_default_or_for_unknown_calls_do_no_harm():
    rules = (allow("read", "read", "no_such_call"), allow("read"), Rule(("mkdir",), DENY), Rule(("mkdir",), DENY, 1))
    profile = Profile(DENY, rules)
    assert (answer(profile, READ), answer(profile, MKDIR)) == (ALLOW, ERRNO | 1)


def test_first_of_contradicting_rules_counts():
    denied, allowed = Rule(("mkdir",), "SCMP_ACT_KILL_PROCESS"), allow("mkdir")
    assert answer(Profile(DENY, (denied, allowed)), MKDIR) == KILL_PROCESS
    assert answer(Profile(DENY, (allowed, denied)), MKDIR) == ALLOW


def test_each_architecture_is_filtered_by_its_own_numbers_and_others_kill():
    profile = Profile(DENY, (allow("mkdir"),), architectures=("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"))
    assert [answer(profile, n, arch=I386) for n in (MKDIR_386, MKDIR)] == [ALLOW, ERRNO | 1]
    assert [answer(profile, n) for n in (MKDIR, MKDIR_386)] == [ALLOW, ERRNO | 1]
    assert answer(profile, MKDIR, arch=AARCH64) == KILL_PROCESS
    assert answer(profile, X32_BIT | MKDIR) == KILL_PROCESS
    native = Profile(DENY, (allow("mkdir"),))
    assert answer(native, MKDIR_386, arch=I386) == KILL_PROCESS
    x32 = Profile(DENY, (allow("mkdir"),), architectures=("SCMP_ARCH_X32",))
    assert [answer(x32, X32_BIT | n) for n in (MKDIR, READ)] == [ALLOW, ERRNO | 1]
    assert answer(x32, MKDIR) == ALLOW


def test_call_newer_than_the_profile_is_unknown():
    profile = Profile(DENY, (allow("read", "openat2"),), architectures=("SCMP_ARCH_X86", "SCMP_ARCH_X32"))
    unknown, denied = ERRNO | errno.ENOSYS, ERRNO | errno.EPERM
    assert [answer(profile, n) for n in (OPENAT2, FACCESSAT2, NEWER, OPENAT2 - 1)] == [ALLOW, unknown, unknown, denied]
    assert [answer(profile, n, arch=I386) for n in (READ_386, OPENAT2_386 + 1, MKDIR_386)] == [ALLOW, unknown, denied]
    x32 = [answer(profile, X32_BIT | n) for n in (OPENAT2, FACCESSAT2, 512, 547, NEWER)]
    assert x32 == [ALLOW, unknown, denied, denied, denied]  # 512 and up: old calls in x32's own form
    assert answer(profile, -1) in {denied, KILL_PROCESS}  # what a tracer makes of a skipped call
    assert answer(profile, NEWER, arch=AARCH64) == KILL_PROCESS


def test_call_as_old_as_seccomp_is_denied_whatever_the_profile_names():
    profile = Profile(DENY, (allow("read"),))
    assert [answer(profile, n) for n in (SECCOMP, SECCOMP + 1)] == [ERRNO | errno.EPERM, ERRNO | errno.ENOSYS]


@pytest.mark.parametrize(
    ("action", "number", "result"),
    [
        ("SCMP_ACT_KILL_PROCESS", None, ERRNO | errno.ENOSYS),
        ("SCMP_ACT_TRAP", None, ERRNO | errno.ENOSYS),
        ("SCMP_ACT_ALLOW", None, ALLOW),
        ("SCMP_ACT_LOG", None, LOG),
        ("SCMP_ACT_TRACE", 5, TRACE | 5),
    ],
)
def test_only_profiles_that_forbid_unknown_calls_hide_them(action, number, result):
    rules = (Rule(("read",), "SCMP_ACT_ERRNO", 22), Rule(("mkdir",), "SCMP_ACT_TRAP"))
    assert answer(Profile(action, rules, default_errno=number), NEWER) == result


def test_stub_leaves_every_other_call_to_the_filter():
    """Against the definition, for each architecture: the stub's own answer or the filter behind it."""
    newest = {0xC000003E: 450, 0x4000003E: X32_BIT | 440, 0x40000003: 460, 0x40000028: 430, 0xC00000B7: -1}
    code = enosys.stub(newest) + b"".join((bytes([6, 0, 0, 0]), LOG.to_bytes(4, "little")))
    for arch in (0xC000003E, 0x40000003, 0x40000028, 0xC00000B7, 0x8):
        for number in (0, 430, 431, 440, 441, 450, 451, 460, 461, 511, 512, 0xF0001, 1 << 30, -1):
            for bit in (0, X32_BIT):
                hidden = False
                if number > 0 and not number & X32_BIT:
                    limit = {0xC000003E: 440 if bit else 450, 0x40000003: 460, 0x40000028: 430}.get(arch, 1 << 30)
                    end = {(0xC000003E, X32_BIT): 512, (0x40000028, 0): 0xF0000}.get((arch, bit), 1 << 30)
                    hidden = limit < number < end and (not bit or arch == 0xC000003E)
                got = run(code, number if number < 0 else number | bit, arch=arch)
                assert (got == ERRNO | errno.ENOSYS) == hidden, (hex(arch), number, bit, hex(got))
                assert got in {LOG, ERRNO | errno.ENOSYS}


def test_flags():
    spec_allow, tsync = "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"
    kill, log = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG"
    notify = (Rule(("mkdir",), "SCMP_ACT_NOTIFY"),)

    def flags(rules, wanted):
        made = filters.filter_of(Profile("SCMP_ACT_ALLOW", rules, flags=wanted))
        return made.flags, made.listens, made.warnings

    assert flags((), None) == (SPEC_ALLOW, False, [])
    assert flags((), ()) == (0, False, [])
    assert flags((), (tsync, log, spec_allow)) == (1 | 2 | 4, False, [])
    assert flags((), (kill,)) == (0, False, [])  # EINVAL without a listener
    assert flags(notify, (tsync,)) == (1 | LISTENER | ESRCH_FLAG, True, [])
    assert flags(notify, (kill,)) == (32 | LISTENER, True, [])


def test_flag_that_the_kernel_does_not_know_is_left_out_with_a_warning(monkeypatch):
    monkeypatch.setattr(syscalls, "probe_seccomp_flags", lambda flags: errno.EINVAL if flags else errno.EFAULT)
    made = filters.filter_of(Profile("SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_LOG",)))
    assert made.flags == 0
    assert "SECCOMP_FILTER_FLAG_LOG is left out" in made.warnings[0]
    assert filters.filter_of(Profile("SCMP_ACT_ALLOW")).warnings == []  # nobody asked for the default


def test_kernel_without_seccomp(monkeypatch):
    monkeypatch.setattr(syscalls, "probe_seccomp_flags", lambda _: errno.EINVAL)
    with pytest.raises(ConfigError, match=r"no seccomp filters .*/linux/seccomp"):
        filters.filter_of(Profile("SCMP_ACT_ALLOW", pointer="/linux/seccomp"))


def test_filter_that_is_too_long():
    args = [((0, "SCMP_CMP_EQ", value, 0),) for value in range(4090)]
    with pytest.raises(ConfigError, match=r"has \d+ instructions, but the kernel takes at most 4096 .*syscalls"):
        filters.filter_of(Profile(DENY, tuple(allow("ioctl", args=arg) for arg in args)))


def test_architecture_that_libseccomp_cannot_filter_here():
    with pytest.raises(ConfigError, match=r"SCMP_ARCH_S390X is not supported by this machine: .*architectures/1\)"):
        filters.filter_of(Profile(DENY, architectures=("SCMP_ARCH_X86", "SCMP_ARCH_S390X")))


@pytest.mark.parametrize(("action", "number"), [(DENY, 4095), ("SCMP_ACT_TRACE", 65536)])
def test_number_too_large_for_the_action(action, number):
    with pytest.raises(ConfigError, match=f"{number} is too large for {action}.*/linux/seccomp/syscalls/0/errnoRet"):
        filters.filter_of(Profile("SCMP_ACT_ALLOW", (Rule(("mkdir",), action, number),), pointer="/linux/seccomp"))
    with pytest.raises(ConfigError, match=f"{number} is too large for {action}.*/linux/seccomp/defaultErrnoRet"):
        filters.filter_of(Profile(action, default_errno=number, pointer="/linux/seccomp"))


def test_without_libseccomp_the_package_is_named(monkeypatch):
    real = library.Library
    monkeypatch.setattr(filters, "Library", lambda name, need: real("libseccomp-missing.so.2", need))
    with pytest.raises(PyruncError) as caught:
        filters.filter_of(Profile(DENY, pointer="/linux/seccomp"))
    assert "libseccomp2 (Debian, Ubuntu) or libseccomp" in str(caught.value)
    assert "/linux/seccomp" in str(caught.value)
    assert "no such file" not in str(caught.value).lower()


def test_podmans_profile_means_the_same_with_and_without_the_tree(monkeypatch):
    """libseccomp's optimizer on a large profile, against the linear filter, for every call."""
    from conformance.bench.bundle import SECCOMP_PROFILE, seccomp_from_profile

    if not Path(SECCOMP_PROFILE).exists():
        pytest.skip(f"{SECCOMP_PROFILE} comes with the package containers-common")
    config = seccomp_from_profile(SECCOMP_PROFILE)
    rules = []
    for entry in config["syscalls"]:
        args = tuple((a["index"], a["op"], a["value"], a.get("valueTwo", 0)) for a in entry.get("args") or ())
        rules.append(Rule(tuple(entry["names"]), entry["action"], entry.get("errnoRet"), args))
    profile = Profile(config["defaultAction"], tuple(rules), architectures=tuple(config["architectures"]))
    tree = filters.filter_of(profile).instructions
    with monkeypatch.context() as patch:
        patch.setattr(filters, "_LINEAR_OR_TREE", 1)
        linear = filters.filter_of(profile).instructions
    assert tree != linear
    for arch, bit in ((0xC000003E, 0), (0xC000003E, X32_BIT), (I386, 0)):
        for number in range(600):
            for word in (0, 8, 0x20000, 0x7E020000):
                expected = run(linear, number | bit, word, arch=arch)
                assert run(tree, number | bit, word, arch=arch) == expected, (arch, number, word)
    assert [run(tree, n) for n in (READ, MKDIR)] == [ALLOW, ALLOW]
    assert run(tree, 175) & 0xFFFF0000 == ERRNO  # init_module


# -- the cache ---------------------------------------------------------------------------------------------------------

PROFILE = Profile(DENY, (allow("read"),))


@pytest.fixture
def compilations(monkeypatch):
    """The profiles that were compiled and not taken from the cache."""
    compiled, real = [], filters._compile

    def count(library_, profile):
        compiled.append(profile)
        return real(library_, profile)

    monkeypatch.setattr(filters, "_compile", count)
    return compiled


def test_cache_compiles_once(tmp_path, compilations):
    cache = str(tmp_path / "cache")
    made = [filters.filter_of(PROFILE, cache).instructions for _ in range(3)]
    assert len(compilations) == 1
    assert made[0] == made[1] == made[2] == filters.filter_of(PROFILE).instructions
    assert [p.stat().st_mode & 0o777 for p in (tmp_path / "cache", *(tmp_path / "cache").iterdir())] == [0o700, 0o600]


@pytest.mark.parametrize(
    "other",
    [
        Profile(DENY, (allow("read", "write"),)),
        Profile(DENY, (allow("read", args=((0, "SCMP_CMP_EQ", 0, 0),)),)),
        Profile(DENY, (allow("read"),), default_errno=2),
        Profile(DENY, (allow("read"),), architectures=("SCMP_ARCH_X86",)),
        Profile("SCMP_ACT_TRAP", (allow("read"),)),
        Profile(DENY, (Rule(("read",), "SCMP_ACT_LOG"),)),
        Profile(DENY, (Rule(("read",), DENY, 5),)),
    ],
)
def test_every_part_of_a_profile_is_in_the_key(other, tmp_path, compilations):
    for profile in (PROFILE, other):
        assert filters.filter_of(profile, str(tmp_path / "c")).instructions == filters.filter_of(profile).instructions
    assert len(compilations) == 4


def test_another_libseccomp_has_other_keys():
    assert filtercache.key("libseccomp 2.5.4", "p") != filtercache.key("libseccomp 2.6.0", "p")
    assert filtercache.key("a", "bc") != filtercache.key("ab", "c")


def poison(how: str, cache: Path, file: Path, foreign: int) -> None:
    content = file.read_bytes()
    if how == "truncated":
        file.write_bytes(content[:-8])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "one bit":
        file.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    elif how == "longer":
        file.write_bytes(content + content[-8:])
    elif how == "another key's file":
        filters.filter_of(Profile("SCMP_ACT_ALLOW"), str(cache))
        (other,) = (path for path in cache.iterdir() if path != file)
        file.write_bytes(other.read_bytes())
    elif how == "writable by others":
        file.chmod(0o622)
    elif how == "directory writable by others":
        cache.chmod(0o777)
    elif how == "a symlink":
        file.rename(cache.parent / "elsewhere")
        file.symlink_to(cache.parent / "elsewhere")
    elif how == "a fifo":
        file.unlink()
        os.mkfifo(file)
    elif how == "a directory":
        file.unlink()
        file.mkdir()
    elif how == "the directory a symlink":
        cache.rename(cache.parent / "elsewhere")
        cache.symlink_to(cache.parent / "elsewhere")
    elif how == "another owner":
        if os.geteuid():
            pytest.skip("only root can give a file away")
        os.chown(file, foreign, foreign)


POISONS = ("truncated", "empty", "one bit", "longer", "another key's file", "writable by others",
           "directory writable by others", "a symlink", "a fifo", "a directory", "the directory a symlink",
           "another owner")  # fmt: skip


@pytest.mark.parametrize("how", POISONS)
def test_poisoned_cache_is_not_used(how, tmp_path, compilations):
    cache = tmp_path / "cache"
    right = filters.filter_of(PROFILE, str(cache)).instructions
    poison(how, cache, next(iter(cache.iterdir())), 65534)
    compilations.clear()
    assert filters.filter_of(PROFILE, str(cache)).instructions == right
    assert compilations == [PROFILE]


def test_damaged_file_is_replaced(tmp_path, compilations):
    cache = tmp_path / "cache"
    filters.filter_of(PROFILE, str(cache))
    next(iter(cache.iterdir())).write_bytes(b"damaged")
    for _ in range(2):
        filters.filter_of(PROFILE, str(cache))
    assert len(compilations) == 2


def test_cache_that_cannot_be_written_costs_time_only(compilations):
    for place in ("/proc/cache", "/no/such/directory/cache", "/dev/null"):
        assert filters.filter_of(PROFILE, place).instructions
    assert len(compilations) == 3


def test_cache_is_bounded_and_the_oldest_go(tmp_path):
    cache = tmp_path / "cache"
    for i in range(filtercache._MOST_FILES + 5):
        filtercache.store(str(cache), filtercache.key(str(i)), bytes(8))
        os.utime(cache / filtercache.key(str(i)), (i, i))
    assert len(list(cache.iterdir())) == filtercache._MOST_FILES
    assert filtercache.load(str(cache), filtercache.key("4")) is None
    assert filtercache.load(str(cache), filtercache.key("5")) == bytes(8)
