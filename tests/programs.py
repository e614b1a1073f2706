"""Programs in C for what no busybox does; a C compiler is needed to build pyrunc, too."""

import os
import subprocess
from pathlib import Path

# Its first thread ends at once, while another one runs on: /proc/PID/stat says `Z`.
FIRST_THREAD_ENDS = """
#include <pthread.h>
#include <unistd.h>

static void *run(void *unused) { for (;;) pause(); return unused; }

int main(void) {
    pthread_t other;
    pthread_create(&other, 0, run, 0);
    pthread_exit(0);
}
"""


def compiled(source: str, target: Path) -> Path:
    """Compile `source` to the static program `target`."""
    words = [os.environ.get("CC", "cc"), "-x", "c", "-", "-O1", "-static", "-pthread", "-o", str(target)]
    subprocess.run(words, check=True, input=source, text=True)
    return target
