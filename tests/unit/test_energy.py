"""Energy: of the right device, over wrap-around, and unknown rather than too low."""

import math
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tymbal import energy
from tymbal.energy import KWH, Meter, known
from tymbal.files import write_text

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)
UUID = "11111111-2222-3333-4444-555555555555"
MOST = 65_532_610_987


class Nvml:
    """The library's functions, of which one device has a counter."""

    def __init__(self, millijoules: int = 10**9, status: int = 0) -> None:
        self.millijoules, self.status = millijoules, status

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, handle) -> int:
        handle._obj.value = 7
        return 0 if uuid == f"GPU-{UUID}".encode() else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, energy) -> int:
        assert handle.value == 7
        energy._obj.value = self.millijoules
        return self.status


@pytest.fixture
def powercap(tmp_path) -> Path:
    """Two processors, a part of one, and the whole platform."""
    for zone, name in {"0": "package-0", "0:0": "core", "1": "package-1", "2": "psys"}.items():
        folder = tmp_path / f"intel-rapl:{zone}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{MOST}\n")
        (folder / "energy_uj").write_text("1000000\n")
    return tmp_path


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=UUID))
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def count(powercap: Path, zone: str, joules: float) -> None:
    """Let a counter go on, around its end."""
    file = powercap / f"intel-rapl:{zone}" / "energy_uj"
    write_text(file, f"{(int(file.read_text()) + round(1e6 * joules)) % MOST}\n")


def joules(meter: Meter) -> list[float]:
    return [KWH * each for each in meter.used()]


def test_gpu_and_processors_are_counted_from_call_to_call(powercap):
    nvml = Nvml()
    with Meter(GPU, powercap, nvml) as meter:
        nvml.millijoules += 2500
        for zone, used in {"0": 10, "0:0": 100, "1": 20, "2": 1000}.items():
            count(powercap, zone, used)
        assert joules(meter) == pytest.approx([2.5, 30])
        count(powercap, "1", 5)
        assert joules(meter) == pytest.approx([0, 5])


def test_a_counter_that_begins_anew_is_read_in_time(powercap, monkeypatch):
    """Between two calls it goes around twice."""
    seen = threading.Semaphore(0)
    read = energy._number

    def watched(file):
        value = read(file)
        seen.release()
        return value

    monkeypatch.setattr(energy, "_number", watched)
    monkeypatch.setattr(energy, "EVERY_S", 0.001)
    with Meter(CPU, powercap) as meter:
        for _ in range(4):
            count(powercap, "0", 40_000)
            while seen.acquire(blocking=False):
                pass
            for _ in range(4):  # two readings of two counters; the first may have begun before
                assert seen.acquire(timeout=10)
        assert joules(meter)[1] == pytest.approx(160_000)


@pytest.mark.parametrize("broken", ["energy_uj", "max_energy_range_uj"])
def test_processors_of_which_one_tells_nothing_are_not_known(powercap, broken):
    (powercap / "intel-rapl:1" / broken).unlink()
    with Meter(CPU, powercap) as meter:
        assert all(map(math.isnan, meter.used()))
    assert all(map(math.isnan, Meter(CPU, powercap / "nothing").used()))


def test_a_counter_that_is_lost_on_the_way_makes_all_unknown(powercap):
    nvml = Nvml()
    with Meter(GPU, powercap, nvml) as meter:
        nvml.status = 3
        (powercap / "intel-rapl:0/energy_uj").unlink()
        meter.used()
        nvml.status = 0
        assert all(map(math.isnan, meter.used()))


def test_a_gpu_that_does_not_tell_is_not_known(powercap, monkeypatch):
    for nvml in (Nvml(status=3), SimpleNamespace(nvmlInit_v2=lambda: 9)):
        assert math.isnan(Meter(GPU, powercap, nvml).used()[0])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="another"))
    assert math.isnan(Meter(GPU, powercap, Nvml()).used()[0])


def test_processors_count_once_a_machine(powercap, monkeypatch):
    """Figures of processes are added up."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    nvml = Nvml()
    with Meter(GPU, powercap, nvml) as meter:
        nvml.millijoules += 1000
        count(powercap, "0", 10)
        assert joules(meter) == pytest.approx([1, 0])


def test_unknown_is_none_and_never_0():
    assert known([0.0123456, math.nan]) == {"gpu_kwh": 0.01235, "cpu_kwh": None}
    assert known([0.0, 1e-9]) == {"gpu_kwh": None, "cpu_kwh": 1e-9}
