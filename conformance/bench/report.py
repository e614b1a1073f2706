"""What was measured, as a Markdown table and as JSON."""

from __future__ import annotations

import json
import platform
from collections import defaultdict
from statistics import median

BASELINE = "python3 -IS -c pass"
# The commands whose sum is compared with the peers', and those that are compared with the bare interpreter.
SUMMED = ("create", "start", "delete")
BARE = ("state", "start", "kill")

Samples = dict[str, list[float]]


class Report:
    """Samples in milliseconds and MB by runtime (the first one is judged) and command."""

    def __init__(self, runtimes: list[str], profile: str) -> None:
        self.runtimes = runtimes
        self.profile = profile
        self.times: dict[str, Samples] = defaultdict(lambda: defaultdict(list))
        self.memory: dict[str, Samples] = defaultdict(lambda: defaultdict(list))

    def add_times(self, runtime: str, taken: dict[str, float]) -> None:
        for command, milliseconds in taken.items():
            self.times[runtime][command].append(milliseconds)

    def add_memory(self, runtime: str, taken: dict[str, float], waiting: dict[str, float]) -> None:
        for command, megabytes in taken.items():
            self.memory[runtime][command].append(megabytes)
        for kind, megabytes in waiting.items():
            self.memory[runtime][f"waiting init, {kind}"].append(megabytes)

    def medians(self) -> dict[str, dict[str, float]]:
        """Median milliseconds by runtime and command, with the sum of create, start and delete."""
        found = {}
        for name in self.runtimes:
            found[name] = {command: median(samples) for command, samples in self.times[name].items()}
            found[name][" + ".join(SUMMED)] = sum(found[name][command] for command in SUMMED)
        return found

    def baseline(self) -> float:
        return median(self.times[BASELINE][BASELINE])

    def markdown(self) -> str:
        first, *peers = self.runtimes
        medians, bare = self.medians(), self.baseline()
        rounds = len(self.times[first]["create"])
        lines = [
            f"Medians of {rounds} interleaved rounds, profile {self.profile}, Linux {platform.release()}",
            f"(`{BASELINE}`: {bare:.2f} ms):",
            "",
            row(["ms", *self.runtimes, *(f"{first} / {peer}" for peer in peers), f"{first} / bare python3"]),
            row(["---"] + ["---:"] * (2 * len(self.runtimes))),
        ]
        for command, mine in medians[first].items():
            cells = [f"{medians[name][command]:.2f}" for name in self.runtimes]
            cells += [f"{mine / medians[peer][command]:.2f}" for peer in peers]
            cells.append(f"{mine / bare:.2f}" if command in BARE else "")
            lines.append(row([command, *cells]))
        lines += ["", row(["peak MB", *self.runtimes]), row(["---"] + ["---:"] * len(self.runtimes))]
        for command in self.memory[first]:
            lines.append(row([command, *(f"{median(self.memory[name][command]):.2f}" for name in self.runtimes)]))
        return "\n".join(lines)

    def json(self) -> str:
        peers = self.runtimes[1:]
        medians, bare = self.medians(), self.baseline()
        mine = medians[self.runtimes[0]]
        report = {
            "profile": self.profile,
            "kernel": platform.release(),
            "baselineMilliseconds": bare,
            "medianMilliseconds": medians,
            "ratioToPeers": {peer: {name: mine[name] / medians[peer][name] for name in mine} for peer in peers},
            "ratioToBaseline": {command: mine[command] / bare for command in BARE},
            "peakMegabytes": {
                name: {command: median(samples) for command, samples in self.memory[name].items()}
                for name in self.runtimes
            },
            "samplesMilliseconds": self.times,
        }
        return json.dumps(report, indent=2) + "\n"


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
