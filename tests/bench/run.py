"""Run benchmarks: print a table and keep the figures in results/bench/bench.json.

python tests/bench/run.py [--only NAME]
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "workflow" / "scripts"), str(REPO / "tests")]

from harness import REGISTRY, NotHere, change, entries, keep, kept, machine, run  # noqa: E402

KEPT = REPO / "results" / "bench" / "bench.json"
COLUMNS = "{:30} {:>10} {:24} {:>10} {:>8} {:20} {:>7} {:>3}  {}"
HEADS = ("name", "value", "unit", "baseline", "ratio", "goal", "threads", "n", "since the last run")

for module in sorted(Path(__file__).parent.glob("bench*.py")):
    importlib.import_module(module.stem)  # registers its own


def line(entry: dict[str, Any], before: dict[str, Any] | None) -> str:
    """One line of the table."""
    numbers = ("" if entry[key] is None else f"{entry[key]:.4g}" for key in ("value", "baseline", "ratio"))
    value, baseline, ratio = numbers
    goal = f"{entry['goal']} {'reached' if entry['reached'] else 'missed'}" if entry["goal"] else ""
    counts = entry["threads"], entry["repeats"]
    return COLUMNS.format(entry["name"], value, entry["unit"], baseline, ratio, goal, *counts, change(entry, before))


def main() -> None:
    """Run all benchmarks, or the one asked for; what is finished is kept even if a later one fails."""
    parser = argparse.ArgumentParser(description="Measure speed and memory.")
    parser.add_argument("--only", metavar="NAME", choices=sorted(REGISTRY), help=", ".join(sorted(REGISTRY)))
    only = parser.parse_args().only
    before = kept(KEPT)
    print(machine())
    print("Figures are medians of n after a warm-up. Threads are those of torch.")
    print(COLUMNS.format(*HEADS))
    for name in [only] if only else REGISTRY:
        try:
            new = entries(*run(name))
        except NotHere as error:
            print(f"{name:30} {error}", flush=True)
            continue
        keep(KEPT, new)
        print(*(line(entry, before.get(entry["name"])) for entry in new), sep="\n", flush=True)


if __name__ == "__main__":
    main()
