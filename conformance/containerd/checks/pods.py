"""A pod's life as a kubelet drives it, with the runtime by its entry in containerd's configuration (BinaryName)."""

from __future__ import annotations

from pathlib import Path

from conformance.containerd.cri import Pods
from conformance.containerd.harness import Containerd
from conformance.containerd.leftovers import states
from conformance.harness.checks import check, equal, matches, wait_until

CGROUPS = Path("/sys/fs/cgroup")
MEMORY, QUOTA, PERIOD = 67108864, 50000, 100000
LIMITS = [(1, PERIOD), (2, QUOTA), (3, 512), (4, MEMORY), (5, 900)]  # LinuxContainerResources; 5 is oom_score_adj
SERVER = ["sh", "-c", "trap 'exit 4' TERM; touch /up; while :; do sleep 0.1; done"]


def pod_with_server(engine: Containerd) -> tuple[Pods, str, str]:
    """A pod with one running container: the client, the ids of both; both are removed after the check."""
    pods = Pods(engine.socket)
    engine.serial += 1
    name = f"{engine.prefix}-{engine.serial}"
    parent = "checks.slice" if engine.manager == "systemd" else f"/{name}"
    pod, config = pods.run_pod(name, parent)
    if engine.manager != "systemd":
        engine.undo.callback((CGROUPS / name).rmdir)  # as a kubelet does with the pod's cgroup
    engine.undo.callback(pods.call, "RemovePodSandbox", [(1, pod)])
    engine.undo.callback(pods.call, "StopPodSandbox", [(1, pod)])
    container = pods.create(pod, config, SERVER, LIMITS)
    pods.call("StartContainer", [(1, container)])
    wait_until(lambda: pods.execute(container, "ls", "/up")[0] == 0, "the server is up")
    return pods, pod, container


@check("cri", "a pod: its containers are the runtime's, in the pod's cgroup and namespaces")
def test_pod(engine: Containerd) -> None:
    pods, sandbox, container = pod_with_server(engine)
    found = states(engine)
    equal({sandbox, container} <= found, True, f"{sandbox} and {container} in {found}")
    _, processes = pods.execute(container, "cat", "/proc/1/cmdline", "/proc/self/cgroup")
    matches(processes, ".*trap 'exit 4' TERM.*0::/.*")


@check("cri", "limits of a container, and UpdateContainerResources")
def test_limits(engine: Containerd) -> None:
    pods, _, container = pod_with_server(engine)
    read = ["sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max; cat /proc/1/oom_score_adj"]
    equal(pods.execute(container, *read), (0, f"{MEMORY}\n{QUOTA} {PERIOD}\n900\n"))
    pods.call("UpdateContainerResources", [(1, container), (2, [(1, PERIOD), (2, 25000), (4, 2 * MEMORY)])])
    equal(pods.execute(container, *read), (0, f"{2 * MEMORY}\n25000 {PERIOD}\n900\n"))


@check("cri", "ExecSync: output and exit status")
def test_execute(engine: Containerd) -> None:
    pods, _, container = pod_with_server(engine)
    equal(pods.execute(container, "sh", "-c", "echo out; exit 9"), (9, "out\n"))


@check("cri", "StopContainer: TERM, and the exit status in ContainerStatus; RemoveContainer")
def test_stop(engine: Containerd) -> None:
    pods, _, container = pod_with_server(engine)
    equal(pods.state(container)[3], 1, "the state")
    pods.call("StopContainer", [(1, container), (2, 30)])
    status = pods.state(container)
    equal((status[3], status[7]), (2, 4), "the state and the exit status")
    pods.call("RemoveContainer", [(1, container)])
    equal(container in states(engine), False, "the runtime's state afterwards")
