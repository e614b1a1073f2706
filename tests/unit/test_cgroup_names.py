"""linux.cgroupsPath for both managers."""

import pytest
from pyrunc.cgroup import names
from pyrunc.errors import ConfigError


@pytest.mark.parametrize(
    ("configured", "own", "expected"),
    [
        ("", None, "/box"), ("/", None, "/box"), ("/machine/x", None, "/machine/x"), ("machine/x", None, "/machine/x"),
        ("/a//b/", None, "/a/b"), ("/a/./b", None, "/a/b"), ("./x", "/user/y", "/user/x"),
        ("", "/user.slice/session.scope", "/user.slice/box"),
        ("x/y", "/user.slice/session.scope", "/user.slice/x/y"), ("/x/y", "/user.slice/session.scope", "/x/y"),
        ("", "/", "/box"), ("/a:b:c", None, "/a:b:c"), ("/", "/a/b", "/box"), ("x", "", "/x"),
        ("..x/.y", None, "/..x/.y"),
    ],
)  # fmt: skip
def test_paths(configured, own, expected):
    assert names.fs_path(configured, "box", own) == expected


@pytest.mark.parametrize("configured", ["../x", "/a/../b", "/..", "a/..", "system.slice:pyrunc:x", "a:"])
def test_refused_paths(configured):
    with pytest.raises(ConfigError) as caught:
        names.fs_path(configured, "box")
    assert caught.value.pointer == ""  # the plan knows it


@pytest.mark.parametrize(
    ("configured", "user", "slice_", "name"),
    [
        ("", False, "system.slice", "pyrunc-box.scope"),
        ("", True, "user.slice", "pyrunc-box.scope"),
        ("machine.slice:libpod:abc", False, "machine.slice", "libpod-abc.scope"),
        (":libpod:abc", True, "user.slice", "libpod-abc.scope"),
        ("a-b.slice::abc", False, "a-b.slice", "abc.scope"),
        ("-.slice:p:n", False, "-.slice", "p-n.scope"),
        ("-:p:n", False, "-", "p-n.scope"),
        ("a.slice:p:n.slice", False, "a.slice", "n.slice"),
        ("a.slice:p:", False, "a.slice", "p-box.scope"),
        ("a.slice::" + "n" * 249, False, "a.slice", "n" * 249 + ".scope"),
        ("a_B.slice::n", False, "a_B.slice", "n.scope"),
    ],
)
def test_units(configured, user, slice_, name):
    found = names.unit(configured, "box", user=True) if user else names.unit(configured, "box")
    assert (found.slice, found.name) == (slice_, name)


@pytest.mark.parametrize(
    "configured",
    [
        "/machine/x", "a.slice:x", "a:b:c:d", "nonsense:p:n", "a--b.slice:p:n", "../x.slice:p:n", "a.slice:p:../n",
        "/a.slice:p:n", ".slice:p:n", "-a.slice:p:n", "a-.slice:p:n", "a b.slice:p:n", "a.slice:p p:n", "a.slice:.p:n",
        "a.slice::.n", "a.slice::" + "n" * 250,
    ],
)  # fmt: skip
def test_refused_units(configured):
    with pytest.raises(ConfigError) as caught:
        names.unit(configured, "box")
    assert caught.value.pointer == ""  # the plan knows it


@pytest.mark.parametrize("configured", ["/machine/x", "/a.slice:p:n", "a.slice:x", "a:b:c:d"])
def test_a_path_is_for_the_other_manager(configured):
    with pytest.raises(ConfigError, match="not of the form SLICE:PREFIX:NAME") as caught:
        names.unit(configured, "box")
    assert caught.value.hint == "leave out --systemd-cgroup if it is a path"
