"""Meters: a fake powercap tree, stand-ins for NVML and zeus, and never zero for unknown."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from spikefuse.measure import Reading, Unavailable, best_meter, measure
from spikefuse.measure.nvml import NvmlMeter
from spikefuse.measure.rapl import RaplMeter
from spikefuse.measure.zeus import ZeusMeter


def domain(folder: Path, name: str, energy_uj: int, range_uj: int = 10**9) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    domain(tmp_path / "intel-rapl:0", "package-0", 1_000)
    domain(tmp_path / "intel-rapl:0" / "intel-rapl:0:0", "core", 10)
    domain(tmp_path / "intel-rapl:0" / "intel-rapl:0:1", "dram", 100)
    domain(tmp_path / "intel-rapl:1", "package-1", 5_000)
    domain(tmp_path / "intel-rapl:2", "psys", 90_000)
    return tmp_path


def spend(tree: Path, **spent_uj: int) -> None:
    for path in tree.rglob("energy_uj"):
        name = (path.parent / "name").read_text().strip().replace("-", "_")
        path.write_text(str(int(path.read_text()) + spent_uj.get(name, 0)))


def test_packages_and_memory_add_up_and_nothing_is_counted_twice(tree: Path) -> None:
    meter = RaplMeter(tree)
    meter.start()
    spend(
        tree, package_0=2_000_000, package_1=1_000_000, core=900_000, dram=500_000, psys=5_000_000
    )
    reading = meter.stop()
    assert reading.joules == pytest.approx(3.5)
    assert reading.parts["psys (2)"] == pytest.approx(5.0)
    assert reading.parts["core (0:0)"] == pytest.approx(0.9)


def test_a_domain_listed_twice_is_read_once(tree: Path) -> None:
    (tree / "intel-rapl:0:1").symlink_to(tree / "intel-rapl:0" / "intel-rapl:0:1")
    meter = RaplMeter(tree)
    meter.start()
    spend(tree, dram=1_000_000)
    assert meter.stop().joules == pytest.approx(1.0)


def test_a_counter_that_wraps_is_unwrapped(tmp_path: Path) -> None:
    folder = domain(tmp_path / "intel-rapl:0", "package-0", 900, range_uj=1000)
    meter = RaplMeter(tmp_path)
    meter.start()
    (folder / "energy_uj").write_text("150")
    assert meter.stop().joules == pytest.approx(250e-6)
    meter.start()
    (folder / "energy_uj").write_text("-5000")
    assert meter.stop() == Reading(None, "rapl", "package-0 (0) went back by more than its range")


@pytest.mark.parametrize("content", ["", "many", "1.5"])
def test_an_unreadable_counter_is_unavailable_with_its_path(tree: Path, content: str) -> None:
    broken = tree / "intel-rapl:0" / "energy_uj"
    broken.write_text(content)
    meter = best_meter(tree)
    reading = meter.stop()
    assert (meter.name, reading.joules) == ("none", None)
    assert str(broken) in str(reading.reason)


def test_a_counter_that_vanishes_gives_no_joules(tree: Path) -> None:
    meter = RaplMeter(tree)
    (tree / "intel-rapl:0" / "energy_uj").unlink()
    reading = meter.stop()
    assert reading.joules is None
    assert "energy_uj must hold a readable number" in str(reading.reason)


def test_a_window_of_no_length_is_not_zero_joules(tree: Path) -> None:
    meter = RaplMeter(tree)
    assert meter.stop() == Reading(None, "rapl", "no counter moved: the window was too short")


def test_a_host_without_counters_says_why(tmp_path: Path) -> None:
    meter = best_meter(tmp_path / "nothing")
    assert isinstance(meter, Unavailable)
    assert "has no powercap" in meter.reason
    only_psys = tmp_path / "psys"
    domain(only_psys / "intel-rapl:0", "psys", 5)
    with pytest.raises(OSError, match="has no RAPL package counter"):
        RaplMeter(only_psys)


class FakeNvml:
    class NVMLError(Exception):
        pass

    energy_mj = 7_000

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, card: int) -> int:
        return self.energy_mj


def test_nvml_counts_millijoule() -> None:
    nvml = FakeNvml()
    meter = NvmlMeter(0, nvml)
    meter.start()
    assert meter.stop().joules is None
    nvml.energy_mj += 1_500
    assert meter.stop() == Reading(1.5, "nvml")
    with pytest.raises(OSError, match="no energy counter of card 1: Invalid Argument"):
        NvmlMeter(1, nvml)


class FakeZeus:
    def __init__(self, **energies: object) -> None:
        self.energies = energies

    def begin_window(self, name: str) -> None: ...

    def end_window(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(total_energy=0, **self.energies)


def test_what_zeus_reports_as_nothing_is_not_zero() -> None:
    with pytest.raises(OSError, match="no counter is available"):
        ZeusMeter(FakeZeus(gpu_energy={}, cpu_energy=None))
    meter = ZeusMeter(FakeZeus(gpu_energy={0: 2.0}, cpu_energy={0: 1.0}, dram_energy=None))
    meter.start()
    assert meter.stop() == Reading(3.0, "zeus", None, {"gpu 0": 2.0, "cpu 0": 1.0})


class SteadyMeter:
    """2 W at rest; every call of the load adds 3 J."""

    name = "steady"

    def __init__(self) -> None:
        import time

        self.clock, self.calls, self.begin = time.perf_counter, 0, (0.0, 0)

    def start(self) -> None:
        self.begin = (self.clock(), self.calls)

    def stop(self) -> Reading:
        began, calls = self.begin
        return Reading(2 * (self.clock() - began) + 3 * (self.calls - calls), self.name)


def test_idle_power_is_taken_off_the_load() -> None:
    meter = SteadyMeter()

    def load() -> None:
        meter.calls += 1

    cost = measure(load, meter=meter, window_s=0.05, n_calls=5)
    assert cost.n_calls >= 5
    assert cost.idle_w == pytest.approx(2, rel=0.05)
    assert cost.joules == pytest.approx(3, rel=0.05)


def test_without_a_counter_time_and_memory_remain() -> None:
    cost = measure(lambda: sum(range(1000)), meter=Unavailable("none here"), n_calls=3)
    assert (cost.joules, cost.reason, cost.n_calls) == (None, "none here", 3)
    assert cost.wall_ms > 0
    assert cost.peak_mib > 1
    assert cost.extra_mib is None or cost.extra_mib >= 0
    with pytest.raises(ValueError, match="n_calls must be at least 1"):
        measure(lambda: None, n_calls=0)
