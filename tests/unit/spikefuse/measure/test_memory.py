"""Peak memory over a stretch: from a made-up kernel, and from this one where it says."""

from pathlib import Path

import numpy as np

from spikefuse.measure.memory import PeakMemory


def status(root: Path, rss_kib: int, peak_kib: int) -> None:
    """What the kernel would say."""
    (root / "status").write_text(f"Name:\tpython\nVmHWM:\t{peak_kib} kB\nVmRSS:\t{rss_kib} kB\n")


def test_the_peak_is_counted_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "clear_refs").write_text("")
    status(tmp_path, 1024, 9 * 1024)
    memory = PeakMemory(tmp_path)
    memory.start()
    assert (tmp_path / "clear_refs").read_text() == "5"
    status(tmp_path, 2048, 4 * 1024)
    assert memory.stop() == 3.0


def test_a_kernel_that_does_not_say_gives_none(tmp_path: Path) -> None:
    memory = PeakMemory(tmp_path / "absent")
    memory.start()
    assert memory.stop() is None
    (tmp_path / "clear_refs").write_text("")
    (tmp_path / "status").write_text("Name:\tpython\n")
    memory = PeakMemory(tmp_path)
    memory.start()
    assert memory.stop() is None


def test_an_array_is_seen_after_it_is_gone() -> None:
    memory = PeakMemory()
    memory.start()
    size = int(np.ones(8 << 20).size)  # 64 MiB, given back at once
    found = memory.stop()
    assert size == 8 << 20
    assert found is None or found > 60
