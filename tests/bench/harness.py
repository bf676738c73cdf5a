"""Benchmarks by name, each giving measurements; how to time two things fairly; how to keep what was measured."""

import datetime
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tymbal.files import read_json, write_json
from tymbal.provenance import environment


class NotHere(Exception):
    """What a benchmark needs is not on this machine."""


@dataclass(frozen=True)
class Goal:
    """What a figure, or its ratio to the baseline, should reach."""

    limit: float
    less: bool = False  # is better
    ratio: bool = False

    def __str__(self) -> str:
        return f"{'ratio ' if self.ratio else ''}{'≤' if self.less else '≥'} {self.limit:g}"

    def reached(self, m: "Measurement") -> bool:
        """Whether a measurement is as good."""
        value = m.ratio if self.ratio else m.value
        assert value is not None, f"{m.name} has a goal for its ratio, but no baseline"
        return value <= self.limit if self.less else value >= self.limit


@dataclass(frozen=True)
class Measurement:
    """A figure, and the same figure of the other implementation if there is one."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    goal: Goal | None = None
    repeats: int = 1  # of which it is the median

    @property
    def ratio(self) -> float | None:
        """Value to baseline."""
        return None if self.baseline is None else self.value / self.baseline


Benchmark = Callable[[], list[Measurement]]
REGISTRY: dict[str, Benchmark] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register a function under a name."""

    def register(function: Benchmark) -> Benchmark:
        REGISTRY[name] = function
        return function

    return register


def clock(device: torch.device) -> Callable[[], float]:
    """Seconds, told when the device has done all that it was asked for."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def median(function: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds of a function, after a first call that does not count."""
    return interleaved_medians([function], repeats, clock)[0]


def interleaved_medians(
    functions: Sequence[Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """As `median`, of each function, run in turns so that a busy machine slows all of them alike."""
    for function in functions:
        function()
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, column in zip(functions, seconds, strict=True):
            start = clock()
            function()
            column.append(clock() - start)
    return [statistics.median(column) for column in seconds]


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process, so that its threads, caches and peak memory are its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def run(name: str) -> tuple[list[Measurement], int]:
    """Measurements of a benchmark, in a process of its own, and how many threads torch had there.

    Raises:
        NotHere: it cannot be measured on this machine.
    """
    return apart(_with_threads, name)


def _with_threads(name: str) -> tuple[list[Measurement], int]:
    return REGISTRY[name](), torch.get_num_threads()


def entries(measurements: Sequence[Measurement], threads: int) -> list[dict[str, Any]]:
    """What is kept of measurements, four significant digits of each."""
    made = environment()
    common = {
        "threads": threads,
        "commit": made["commit"] and made["commit"][:7] + (" with changes" if made["dirty"] else ""),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    return [
        {
            "name": m.name,
            "value": _rounded(m.value),
            "unit": m.unit,
            "baseline": _rounded(m.baseline),
            "ratio": _rounded(m.ratio),
            "goal": m.goal and str(m.goal),
            "reached": m.goal and m.goal.reached(m),
            "repeats": m.repeats,
            **common,
        }
        for m in measurements
    ]


def kept(path: Path) -> dict[str, dict[str, Any]]:
    """Entries in the JSON list at `path`, by name; none if there is no such file."""
    return {entry["name"]: entry for entry in read_json(path)} if path.exists() else {}


def keep(path: Path, new: Sequence[dict[str, Any]]) -> None:
    """Put entries into the JSON list at `path`, in place of older ones of the same names."""
    write_json(path, list((kept(path) | {entry["name"]: entry for entry in new}).values()))


def change(entry: dict[str, Any], before: dict[str, Any] | None) -> str:
    """How a figure differs from an earlier one: the factor, if they are of the same machine."""
    if before is None:
        return ""
    if before["machine"] != entry["machine"]:
        return "other machine"
    return f"× {entry['value'] / before['value']:.3g}" if before["value"] else ""


def machine() -> str:
    """Model of the CPU, usable cores, GPU if there is one, and torch version."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{model}, {len(os.sched_getaffinity(0))} cores{gpu}, torch {torch.__version__}"


def _rounded(value: float | None) -> float | None:
    """Four significant digits."""
    return None if value is None else float(f"{value:.4g}")
