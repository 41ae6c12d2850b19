"""RAPL: energy counters of Intel and AMD processors through the kernel's powercap tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spikefuse.measure.meter import Reading


@dataclass(frozen=True)
class _Domain:
    """One counter: where it is, what it covers, and where it wraps."""

    folder: Path
    label: str
    range_uj: int
    inside_total: bool


class RaplMeter:
    """Sum of the packages' counters, and of memory where it has one of its own.

    The platform counter (psys) holds the packages already, and so do the domains inside a package
    (core, uncore): they are reported, not added. Memory (dram) lies outside the package's counter.

    Parameters
    ----------
    root : Path
        The powercap tree.

    Raises
    ------
    OSError
        If the tree has no readable package counter; the message says what was found.

    References
    ----------
    Linux kernel documentation, "Power Capping Framework": ``energy_uj`` counts microjoule up to
    ``max_energy_range_uj`` and starts at zero again.
    """

    name = "rapl"

    def __init__(self, root: Path = Path("/sys/class/powercap")) -> None:
        self._domains = _domains_below(root)
        if not any(domain.inside_total for domain in self._domains):
            raise OSError(f"{root} has no RAPL package counter")
        self._begin = {domain: _read_uj(domain.folder / "energy_uj") for domain in self._domains}

    def start(self) -> None:
        """Remember every counter."""
        self._begin = {domain: _read_uj(domain.folder / "energy_uj") for domain in self._domains}

    def stop(self) -> Reading:
        """Joules since `start`; a counter that wrapped once is unwrapped."""
        parts: dict[str, float] = {}
        total_uj = 0
        for domain, begin in self._begin.items():
            try:
                spent = _read_uj(domain.folder / "energy_uj") - begin
            except OSError as error:
                return Reading(None, self.name, str(error))
            if spent < 0:
                spent += domain.range_uj
            if spent < 0:
                reason = f"{domain.label} went back by more than its range"
                return Reading(None, self.name, reason)
            parts[domain.label] = spent * 1e-6
            total_uj += spent if domain.inside_total else 0
        if total_uj == 0:
            return Reading(None, self.name, "no counter moved: the window was too short")
        return Reading(total_uj * 1e-6, self.name, None, parts)


def _domains_below(root: Path) -> list[_Domain]:
    """Every readable counter; packages and memory belong to the total."""
    if not root.is_dir():
        raise OSError(f"{root} is not there: this kernel or machine has no powercap")
    found: dict[Path, _Domain] = {}
    for folder in sorted([*root.glob("intel-rapl:*"), *root.glob("intel-rapl:*/intel-rapl:*")]):
        if not (folder / "energy_uj").exists() or folder.resolve() in found:
            continue  # the kernel lists a package's domains inside it and beside it
        label = (folder / "name").read_text(encoding="ascii").strip()
        _read_uj(folder / "energy_uj")
        belongs = label.startswith("package") or label == "dram"
        where = f"{label} ({folder.name.removeprefix('intel-rapl:')})"
        largest = _read_uj(folder / "max_energy_range_uj")
        found[folder.resolve()] = _Domain(folder, where, largest, belongs)
    return list(found.values())


def _read_uj(path: Path) -> int:
    """A counter in microjoule."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise OSError(f"{path} must hold a readable number: {error}") from error
