"""Run benchmarks: print a table and keep the figures in results/bench/bench.json.

python tests/bench/run.py [--only NAME]
"""

import argparse
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "workflow" / "scripts"), str(REPO / "tests")]

import bench_copies  # noqa: E402, F401  registers its own
import bench_evaluate  # noqa: E402, F401  registers its own
import bench_index  # noqa: E402, F401  registers its own
import bench_predict  # noqa: E402, F401  registers its own
import bench_pretrain  # noqa: E402, F401  registers its own
import bench_split  # noqa: E402, F401  registers its own
import bench_sslam  # noqa: E402, F401  registers its own
import benchmarks  # noqa: E402, F401  registers them
from harness import REGISTRY, Measurement, machine, record, run  # noqa: E402


def line(m: Measurement) -> str:
    """One line of the table."""
    compared = "" if m.baseline is None else f"{m.baseline:12.4g} {m.ratio:8.3g}"
    return f"{m.name:28} {m.value:12.4g} {m.unit:22} {compared}"


def main() -> None:
    """Run all benchmarks, or the one asked for; what is finished is kept even if a later one fails."""
    parser = argparse.ArgumentParser(description="Measure speed and memory.")
    parser.add_argument("--only", metavar="NAME", choices=sorted(REGISTRY), help=", ".join(sorted(REGISTRY)))
    only = parser.parse_args().only
    print(machine())
    print(f"{'name':28} {'value':>12} {'unit':22} {'baseline':>12} {'ratio':>8}")
    for name in [only] if only else REGISTRY:
        measurements = run(name)
        record(REPO / "results" / "bench" / "bench.json", measurements)
        print(*map(line, measurements), sep="\n", flush=True)


if __name__ == "__main__":
    main()
