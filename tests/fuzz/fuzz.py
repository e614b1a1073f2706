"""fuzz.py TARGET SECONDS [FILE...]: let atheris invent inputs for one of `targets.TARGETS`, from its seeds and what it
found before (build/fuzz/TARGET). With files: run those alone. An input that fails is left beside that directory."""

import os
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["pyrunc"]):
    from tests.fuzz.targets import SEEDS, TARGETS


def main() -> None:
    """Start libFuzzer, which ends the process."""
    name, seconds, *files = sys.argv[1:]
    work = Path("build/fuzz", name)
    work.mkdir(parents=True, exist_ok=True)
    kept = Path(__file__).with_name("corpus") / name
    # FUZZ_SEED: the same inputs again, as far as the time, or the number FUZZ_RUNS, goes; without it others each time.
    options = [f"-seed={os.environ.get('FUZZ_SEED', '0')}", f"-max_total_time={seconds}"]
    options += [] if files else [f"-runs={os.environ.get('FUZZ_RUNS', '-1')}"]
    options += ["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-verbosity=0"]
    options += ["-print_final_stats=1", f"-artifact_prefix=build/fuzz/{name}-"]
    for i, seed in enumerate(SEEDS[name]):
        (work / f"seed-{i}").write_bytes(seed)
    atheris.Setup(
        [sys.argv[0], *options, *(files or [str(work), *([str(kept)] if kept.is_dir() else [])])], TARGETS[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
