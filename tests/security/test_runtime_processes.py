"""What the runtime's own processes, on their way into a container, leave open or show to others."""

from pathlib import Path

from tests.bundle import Bundle
from tests.runtime import Runtime


def test_first_process_has_no_directory_of_the_hosts_cgroups_or_state_open(
    runtime: Runtime, bundle: Bundle, area: Path
) -> None:
    """Such a one leads out of the root that it enters (CVE-2024-21626)."""
    seen = area / "seen"
    bundle.hook(
        "createRuntime",
        f"pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); ls -l /proc/$pid/fd > {seen}",
        drain=False,
    )
    assert runtime.run(bundle).returncode == 0
    targets = [line.rpartition(" -> ")[2] for line in seen.read_text().splitlines() if " -> " in line]
    assert targets
    assert not [path for path in targets if path.startswith("/sys/fs/cgroup") or Path(path).parent == runtime.root]
