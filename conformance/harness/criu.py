"""Whether the CRIU of the host works."""

from __future__ import annotations

import functools
import subprocess
import tempfile

NULL = subprocess.DEVNULL


@functools.cache
def fault() -> str:
    """Why CRIU does not work on this host, "" if it does: it is to dump a plain process. `criu check` is content with
    kernels on which no dump succeeds, such as the user-mode one."""
    sleeper = subprocess.Popen(["sleep", "1000"], stdin=NULL, stdout=NULL, stderr=NULL, start_new_session=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            words = ["criu", "dump", "--tree", str(sleeper.pid), "--images-dir", folder, "--leave-running"]
            done = subprocess.run(words, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return "criu is not installed"
    finally:
        sleeper.kill()
        sleeper.wait()
    words = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return f"criu does not work here: {words[0]}" if done.returncode else ""
