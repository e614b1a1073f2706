"""The test image: static busybox and a few files; made here, so that nothing is downloaded."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from conformance.harness.checks import IMAGE, Failed
from conformance.harness.engine import Engine
from conformance.rootfs import go_architecture

BUSYBOX = Path("/bin/busybox")
FOLDERS = {"bin": 0o755, "etc": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755, "tmp": 0o1777, "run": 0o755}
FOLDERS |= {"usr": 0o755, "root": 0o700, "seed": 0o750}
LINKS = {"lib": "usr/lib", "lib64": "usr/lib64", "link": "/seed", "escape": "../../../../seed"}
FILES = {  # path -> (mode, owner, text)
    "etc/passwd": (0o644, 0, "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/tmp:/bin/sh\n"),
    "etc/group": (0o644, 0, "root:x:0:\nann:x:1000:\nextra:x:4000:ann\n"),
    "etc/not-executable": (0o644, 0, "#!/bin/sh\necho ran\n"),
    "bin/lost-interpreter": (0o755, 0, "#!/no/such/interpreter\n"),
    "seed/file": (0o640, 1000, "from the image\n"),
}


def archive() -> bytes:
    """The image as `docker save` writes one, which every engine can load (one layer; moby's image spec 1.2)."""
    layer = root_filesystem()
    config = {
        "architecture": go_architecture(),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "100000"]},
        "history": [{"created_by": "conformance"}],  # podman 4's build wants an entry for each layer
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, content in (
            ("manifest.json", json.dumps(manifest).encode()),
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return memory.getvalue()


def root_filesystem() -> bytes:
    """The image's files as a tar file."""
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:

        def add(name: str, kind: bytes, mode: int = 0o777, owner: int = 0, data: bytes = b"", link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid, entry.linkname = kind, mode, owner, owner, link
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        for name, mode in FOLDERS.items():
            add(name, tarfile.DIRTYPE, mode, owner=1000 if name == "seed" else 0)
        add("bin/busybox", tarfile.REGTYPE, 0o755, data=BUSYBOX.read_bytes())
        for applet in applets:
            if applet != "busybox":
                add(f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        for name, target in LINKS.items():
            add(name, tarfile.SYMTYPE, link=target)
        for name, (mode, owner, text) in FILES.items():
            add(name, tarfile.REGTYPE, mode, owner, text.encode())
    return memory.getvalue()


def load(engine: Engine, *words: str) -> None:
    """Loads the image by this command (under the checks' own name, so nobody else's image is replaced)."""
    if not BUSYBOX.exists():
        raise Failed(f"{BUSYBOX} is missing: install busybox-static")
    done = subprocess.run([*engine.command, *words], input=archive(), capture_output=True, check=False)
    if done.returncode:
        raise Failed(f"the test image cannot be loaded: {done.stderr.decode(errors='replace').strip()}")
