"""Energy that was used, as far as the machine tells: by a GPU, from NVML, and by the processors, from RAPL.

The counters are of whole devices: of the GPU, and of all processors of the machine. What others do there at the same
time is counted too. What is not known is NaN, so that a sum is known only if all its parts are.
"""

import ctypes
import math
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch

POWERCAP = Path("/sys/class/powercap")
KWH = 3.6e6  # joules
EVERY_S = 10.0  # between readings: some counters begin anew after 65 kJ, which is two minutes at 500 W


class _Counter:
    """A counter of energy: `read` gives multiples of `joules`, and begins anew after `most`."""

    def __init__(self, read: Callable[[], int], joules: float, most: int) -> None:
        self._read, self._joules, self._most = read, joules, most
        self._last = read()

    def since(self) -> float:
        """Joules since the last call; NaN if the counter cannot be read."""
        try:
            now = self._read()
        except OSError:
            return math.nan
        used = (now - self._last) % self._most * self._joules
        self._last = now
        return used


class Meter:
    """What a training's device and the processors of its machine use while the context is open.

    Args:
        device: of this process. The processors count in the first process on a machine.
        powercap: folder in which the system tells of processors.
        nvml: the library, to be loaded if it is not given.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP, nvml: Any = None) -> None:
        counts = os.environ.get("LOCAL_RANK", "0") == "0"
        self._counters = [_gpus(device, nvml), _packages(powercap) if counts else []]
        self._used = [0.0 if self._counters[0] else math.nan, 0.0 if self._counters[1] or not counts else math.nan]
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def used(self) -> list[float]:
        """Kilowatt hours of GPU and of processors since the last call, or else the beginning."""
        with self._lock:
            self._look()
            used, self._used = self._used, [0 * each for each in self._used]  # what is not known stays so
        return [each / KWH for each in used]

    def _look(self) -> None:
        for i, counters in enumerate(self._counters):
            self._used[i] += sum(counter.since() for counter in counters)

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            with self._lock:
                self._look()


def known(kwh: Sequence[float]) -> dict[str, float | None]:
    """Kilowatt hours of GPUs and of processors for `run.json`; None if not known, or if a counter stood still."""
    names = ("gpu_kwh", "cpu_kwh")
    return {name: float(f"{each:.4g}") if each > 0 else None for name, each in zip(names, kwh, strict=True)}


def _gpus(device: torch.device, nvml: Any) -> list[_Counter]:
    """The counter of a GPU in millijoules; none without a GPU, or if it does not tell."""
    if device.type != "cuda":
        return []
    handle, energy = ctypes.c_void_p(), ctypes.c_ulonglong()

    def read() -> int:
        _succeed(nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy)))
        return energy.value

    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"  # NVML counts also GPUs that the process may not use
    try:
        nvml = nvml or ctypes.CDLL("libnvidia-ml.so.1")
        _succeed(nvml.nvmlInit_v2())
        _succeed(nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)))
        return [_Counter(read, 1e-3, 2**64)]
    except OSError:
        return []


def _succeed(status: int) -> None:
    if status != 0:
        raise OSError(f"NVML answered {status}")


def _packages(powercap: Path) -> list[_Counter]:
    """The counters of all processors in microjoules; none if one cannot be read, as by many systems' ordinary users."""
    zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    try:
        packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]  # not the platform
        counters = [(zone / "energy_uj", _number(zone / "max_energy_range_uj")) for zone in packages]
        return [_Counter(partial(_number, file), 1e-6, most) for file, most in counters]
    except OSError:
        return []


def _number(file: Path) -> int:
    return int(file.read_text())
