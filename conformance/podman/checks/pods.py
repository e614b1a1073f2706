"""Pods: what their containers share, the commands on the whole, and pods that Kubernetes' YAML describes."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.harness.checks import IMAGE, check, equal, wait_until
from conformance.podman.harness import Podman


def namespace_of(process: str, kind: str) -> str:
    """Which namespace of this kind a process is in, such as net:[4026531840]."""
    return str(Path(f"/proc/{process}/ns/{kind}").readlink())


@check("base", "pod: its containers share net, ipc and uts, not pid and mnt")
def test_pod(podman: Podman) -> None:
    name = podman.new_pod()
    podman("pod", "create", "--name", name, "--hostname", "podhost", "--network", "none")
    options = ["--pod", name, "--stop-timeout", "1"]  # httpd as pid 1 does not end when it is asked to
    first = podman.start(options, "sh", "-c", "echo served >/tmp/page; exec httpd -f -p 8080 -h /tmp")
    pid = podman.inspect(first, ".State.Pid")
    script = "for kind in net ipc uts pid mnt; do readlink /proc/self/ns/$kind; done; hostname; "
    script += "until wget -qO- http://127.0.0.1:8080/page; do sleep 0.1; done"
    found = podman.sh(["--pod", name], script).splitlines()
    equal(found[:3], [namespace_of(pid, kind) for kind in ("net", "ipc", "uts")])
    for line, kind in zip(found[3:5], ("pid", "mnt"), strict=True):
        equal(line == namespace_of(pid, kind), False, f"{kind} is shared")
    equal(found[5:], ["podhost", "served"])
    for action in ("stop", "start", "restart", "kill"):
        podman("pod", action, *(["--time", "0"] if action == "stop" else []), name)
    equal(podman("pod", "rm", "--force", "--time", "0", name) != "", True, "the removed pod's id")


@check("base", "pod --share pid: one process table")
def test_pod_pid(podman: Podman) -> None:
    name = podman.new_pod()
    podman("pod", "create", "--name", name, "--share", "pid,ipc", "--network", "none")
    podman.start(["--pod", name], "sleep", "4322")
    script = "until ps | grep -q '[s]leep 4322'; do sleep 0.1; done; echo $(($$ > 1))"
    equal(podman.sh(["--pod", name], script), "1")


@check("base", "pod stats, pod top, pod ps")
def test_pod_commands(podman: Podman) -> None:
    name = podman.new_pod()
    podman("pod", "create", "--name", name, "--network", "none")
    container = podman.start(["--pod", name, "--memory", "64m"], "sleep", "4324")
    values = json.loads(podman("pod", "stats", "--no-stream", "--format", "json", name))
    equal([entry["Name"] for entry in values if "67.11MB" in entry["MemUsage"]], [container])
    equal(podman("pod", "top", name, "args").splitlines()[0], "COMMAND")
    equal("sleep 4324" in podman("pod", "top", name, "args"), True, "the container's process")
    columns = ["--format", "{{.Status}} {{.NumberOfContainers}}"]
    equal(podman("pod", "ps", "--filter", f"name={name}", *columns), "Running 2")


POD = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: server
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "echo served >/tmp/page; exec httpd -f -p 8080 -h /tmp"]
    resources: {{limits: {{memory: 64Mi}}}}
  - name: client
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "until wget -qO- http://127.0.0.1:8080/page; do sleep 0.1; done; sleep 1000"]
    securityContext: {{runAsUser: 1000, capabilities: {{drop: [all]}}}}
    livenessProbe: {{exec: {{command: ["true"]}}, periodSeconds: 1}}
"""


@check("base", "kube play and kube down")
def test_kube_play(podman: Podman) -> None:
    name = podman.new_pod()
    path = podman.new_file(POD.format(name=name, image=IMAGE))
    podman("kube", "play", "--network", "none", str(path))
    client, server = f"{name}-client", f"{name}-server"
    podman.logs_until(client, "served")
    equal(podman("exec", client, "grep", "-cE", "^(Uid:.1000|CapEff:.0*$)", "/proc/1/status"), "2")
    equal(podman("exec", server, "cat", "/sys/fs/cgroup/memory.max"), "67108864")
    wait_until(lambda: podman.inspect(client, ".State.Health.Status") == "healthy", "the probe says healthy")
    podman("kube", "down", str(path))
    equal(podman.call("pod", "exists", name).status, 1, "`podman pod exists` afterwards")


KUBE = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}-texts
data:
  text: from the map
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  hostname: kubehost
  containers:
  - name: writer
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "echo run >>/shared/runs; trap exit TERM; sleep 1000 & wait"]
    resources: {{limits: {{memory: 64Mi, cpu: 500m}}, requests: {{memory: 32Mi}}}}
    livenessProbe:
      exec: {{command: [sh, -c, "test $(wc -l </shared/runs) -ge 2"]}}
      periodSeconds: 1
      failureThreshold: 1
    volumeMounts: [{{name: {name}-shared, mountPath: /shared}}]
  - name: reader
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "hostname; echo $TEXT; cat /texts/text /folder/file; trap exit TERM; sleep 1000 & wait"]
    env: [{{name: TEXT, valueFrom: {{configMapKeyRef: {{name: {name}-texts, key: text}}}}}}]
    securityContext: {{readOnlyRootFilesystem: true}}
    volumeMounts:
    - {{name: {name}-shared, mountPath: /shared, readOnly: true}}
    - {{name: texts, mountPath: /texts}}
    - {{name: folder, mountPath: /folder}}
  volumes:
  - {{name: {name}-shared, emptyDir: {{}}}}
  - {{name: texts, configMap: {{name: {name}-texts}}}}
  - {{name: folder, hostPath: {{path: {folder}, type: Directory}}}}
"""


@check("services", "kube play: volumes, a config map, limits, and a liveness probe that has a container started again")
def test_kube_play_all(podman: Podman) -> None:
    podman.need(5, "a restart by the health check's own unit")
    name, folder = podman.new_pod(), podman.new_folder()
    (folder / "file").write_text("from the host\n")
    path = podman.new_file(KUBE.format(name=name, image=IMAGE, folder=folder))
    podman.undo.callback(podman.call, "volume", "rm", "--force", f"{name}-texts", f"{name}-shared")
    podman("kube", "play", "--network", "none", str(path))
    writer, reader = f"{name}-writer", f"{name}-reader"
    lines = ["kubehost", "from the map", "from the mapfrom the host"]
    wait_until(lambda: podman("logs", reader).splitlines() == lines, f"the log of {reader}")
    runs = ["exec", reader, "cat", "/shared/runs"]
    wait_until(lambda: podman.call(*runs).out.split()[1:], "a second run of the writer")
    # Another check may have failed before podman came to the restart: then it restarts it twice.
    limits = ["exec", writer, "sh", "-c", "cd /sys/fs/cgroup; cat memory.max memory.low cpu.max"]
    wanted = "67108864\n33554432\n50000 100000\n"
    wait_until(lambda: podman.call(*limits).out == wanted, f"the limits of {writer}, {wanted!r}")
    wait_until(lambda: podman.inspect(writer, ".State.Health.Status") == "healthy", "the probe says healthy")
    equal(podman.call("exec", reader, "touch", "/shared/new").status, 1, "writing to a volume that is read-only")
    podman("kube", "down", "--force", str(path))
    equal(podman.call("pod", "exists", name).status, 1, "`podman pod exists` afterwards")
