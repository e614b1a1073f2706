"""Makes a broken host around calls of the runtime, and compares what doctor and create say with the table."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from conformance.broken_hosts.hosts import ROOT, Host, Json
from tests.bundle import Bundle
from tests.runtime import Result, Runtime, error_text, new_id

SUBORDINATE = 200000
DROP_IN = "/run/systemd/system/user@.service.d/zz-broken.conf"
# The user's name and subordinate ids are of this table's making, so that the machine's do not matter. -n: nothing in
# /run/mount.
FUNCTIONS = """
mount() { command mount -n "$@"; }
break_library() {
    mount --bind /dev/null "$(readlink -f "$(ldconfig -p | awk -v name="$1" '$1 == name { print $NF; exit }')")"
}
"""
USERS = """
echo "$U:200000:65536" > $D/subids
{ cat /etc/passwd; getent passwd $U > /dev/null || echo "somebody:x:$U:$U::/:/bin/sh"; } > $D/passwd
for file in subuid subgid; do mount --bind $D/subids /etc/$file; done
mount --bind $D/passwd /etc/passwd
"""


class Workshop:
    """A place where hosts are broken. uid: of the ordinary user; folder: an empty one that every user can walk through;
    init: the file of pyrunc-init, "" if it may not be covered."""

    def __init__(self, runtime: Path, folder: Path, uid: int, init: str = "") -> None:
        self.uid, self.init, self.folder = uid, init, folder
        self.runtime = Runtime(folder / "state", runtime)

    def prefix(self, host: Host, *, broken: bool) -> list[str]:
        """The words before a call of the runtime on that host, or on the same host without the fault."""
        names = f"U={self.uid}; D={self.folder}; INIT={self.init}; F={DROP_IN}\n"
        become = [] if host.who == ROOT else self.become()
        wrapper = [word.replace("$U", str(self.uid)) for word in host.wrapper] if broken else []
        script = names + FUNCTIONS + (USERS if host.who != ROOT else "")
        script += f'\n{host.as_root if broken else ""}\nexec "$@"'
        return [*host.enter, "sh", "-ec", script, "sh", *become, *wrapper]

    def become(self) -> list[str]:
        """The words that make a command the ordinary user's, with his user manager if there is one."""
        words = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--"]
        runtime_dir = f"/run/user/{self.uid}"
        if os.path.isdir(runtime_dir):
            words += ["env", "-u", "DBUS_SESSION_BUS_ADDRESS", f"XDG_RUNTIME_DIR={runtime_dir}"]
        return words

    def prepare(self, host: Host, bundle: Bundle) -> None:
        """A config.json that works for the user, but for what the host breaks."""
        for mount in bundle.config["mounts"]:
            mount["options"] = [option for option in mount["options"] if option != "gid=5"]  # not mapped
        if host.who != ROOT:
            self.folder.chmod(0o755)
            os.chown(self.folder, self.uid, self.uid)
            bundle.names_cgroup = False
            bundle.user_namespace(self.uid, 1)
            if host.ids:
                for name in ("uidMappings", "gidMappings"):
                    bundle.linux[name].append({"containerID": 1, "hostID": SUBORDINATE, "size": 65535})
        if host.config:
            host.config(bundle.config)

    def examine(self, host: Host, bundle: Bundle) -> None:
        """Raise AssertionError if doctor or create says something else than the table."""
        self.prepare(host, bundle)
        if not host.natural:
            found, _ = self.doctor(host, broken=False)
            assert host.finding not in found["finding"], f"doctor finds it without the fault: {found}"
            control = self.call(host, bundle, "run", broken=False)
            assert not named(host, control), f"create says it without the fault: {control.stderr}"
        try:
            self.examine_broken(host, bundle)
        finally:
            if host.whole_machine:
                back = host.whole_machine.replace("$U", str(self.uid)).replace("$F", DROP_IN)
                subprocess.run(["sh", "-ec", back], check=True)

    def examine_broken(self, host: Host, bundle: Bundle) -> None:
        """The calls on the broken host."""
        found, result = self.doctor(host, broken=True)
        assert host.finding in found["finding"], f"doctor finds {found}"
        assert found["status"] != "ok", found
        assert found["fatal"] == host.fatal, found
        assert result.returncode == int(host.fatal), result
        if host.error is None:
            result = self.call(host, bundle, "run", broken=True)
            assert result.returncode == 0, result.stderr
            return
        result = self.call(host, bundle, "create", broken=True)
        error_text(result, *host.error, host.finding, f"(pyrunc doctor: {host.check})")

    def doctor(self, host: Host, *, broken: bool) -> tuple[Json, Result]:
        """doctor's finding of the host's check, and the whole answer."""
        result = self.on(host, broken=broken).call(*host.flags, "doctor", "--json", host.check)
        assert result.stdout, result.stderr
        value = json.loads(result.stdout)
        return value["checks"][0], result

    def call(self, host: Host, bundle: Bundle, verb: str, *, broken: bool) -> Result:
        """create or run."""
        container_id = new_id()
        bundle.process["args"] = ["true"]
        bundle.save(container_id)
        try:
            return self.on(host, broken=broken).call(*host.flags, verb, "--bundle", bundle.path, container_id)
        finally:
            self.runtime.delete(container_id, "--force")  # one that should not have come to be

    def on(self, host: Host, *, broken: bool) -> Runtime:
        """The runtime on that host."""
        return self.runtime.behind(*self.prefix(host, broken=broken))


def installed_init(runtime: Path) -> str:
    """Where `make install` puts pyrunc-init when it puts the runtime into PREFIX/bin; "" if it is not there."""
    init = runtime.parents[1] / "lib/pyrunc/pyrunc/pyrunc-init"
    return str(init) if init.exists() else ""


def named(host: Host, result: Result) -> bool:
    """Whether the answer names the check with what the host breaks."""
    return f"(pyrunc doctor: {host.check})" in result.stderr and host.finding in result.stderr
