"""What of `linux.seccomp` gets to the compiler of filters: all of it."""

from pyrunc.planning import security
from pyrunc.spec.config import parse_config
from pyrunc.wings.seccomp import filters

from tests.unit.spec_specimen import full


def profile(**members: object):
    value = full()
    value["linux"]["seccomp"] |= members
    return security.profile(parse_config(value))


def test_every_key_of_the_profile_counts():
    found = profile()
    assert (found.default_action, found.default_errno_ret) == ("SCMP_ACT_ERRNO", 38)
    assert found.architectures == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]
    assert found.flags == ["SECCOMP_FILTER_FLAG_LOG"]
    traced, notified = found.syscalls
    assert (traced.names, traced.action, traced.errno_ret) == (["read", "clone"], "SCMP_ACT_TRACE", 1)
    assert filters._conditions(traced) == ((0, "SCMP_CMP_MASKED_EQ", 2114060288, 1),)
    assert (notified.names, notified.action) == (["mount"], "SCMP_ACT_NOTIFY")
    assert (notified.errno_ret, notified.args) == (None, [])
    assert found.notifies
    assert not found.strict


def test_flags_that_are_not_given_are_the_runtimes_to_choose():
    assert profile(flags=None).flags is None
    assert profile(flags=[]).flags == []
