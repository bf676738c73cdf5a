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


@dataclass(frozen=True)
class Measurement:
    """A figure, and the same figure of the other implementation if there is one."""

    name: str
    value: float
    unit: str
    baseline: float | None = None

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


def interleaved_medians(functions: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of each function, run in turns so that a busy machine slows all of them alike."""
    for function in functions:
        function()
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, column in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            column.append(time.perf_counter() - start)
    return [statistics.median(column) for column in seconds]


def run(name: str) -> list[Measurement]:
    """Run a benchmark in a fresh process, so that its threads, caches and peak memory are its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(REGISTRY[name]).result()


def record(path: Path, measurements: Sequence[Measurement]) -> None:
    """Put measurements into the JSON list at `path`, in place of older ones of the same names."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    new = [
        {
            "name": m.name,
            "value": _rounded(m.value),
            "unit": m.unit,
            "baseline": _rounded(m.baseline),
            "ratio": _rounded(m.ratio),
            "machine": machine(),
            "date": date,
        }
        for m in measurements
    ]
    names = {m.name for m in measurements}
    old = [entry for entry in read_json(path) if entry["name"] not in names] if path.exists() else []
    write_json(path, old + new)


def machine() -> str:
    """Model of the CPU, usable cores and torch version."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}"


def _rounded(value: float | None) -> float | None:
    """Four significant digits."""
    return None if value is None else float(f"{value:.4g}")
