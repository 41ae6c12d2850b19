"""Small pieces of SVG: scales, axes and text in the page's own colours, dark or light."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

# Names of colours; the style sheet says what they are in light and dark.
MODEL_TINTS = {
    "snn": "blue",
    "dense": "vermilion",
    "snn_vision": "green",
    "snn_audio": "orange",
    "snn_late": "purple",
}
_FURTHER_TINTS = ("sky", "yellow", "grey")


@dataclass(frozen=True)
class Scale:
    """From values to pixels along one axis.

    Parameters
    ----------
    low, high : float
        Ends of the axis in values; positive where ``log``.
    start, stop : float
        Ends in pixels; ``start`` may be the larger one, as on a vertical axis.
    log : bool
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Pixels of a value, kept on the axis."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.start + (self.stop - self.start) * (at - low) / ((high - low) or 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """At most about ``most`` round values on the axis."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, most)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / most
    if raw <= 0:
        return [low]
    size = 10 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 5, 10) if m * size >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, and 2 and 5 times them where there would be fewer than three."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1,), (1, 2, 5), tuple(range(1, 10))):
        found = [m * 10.0**k for k in decades for m in multiples]
        inside = [v for v in found if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            step = -(-len(inside) // 8)
            return inside[::step]
    return inside


def padded(values: Iterable[float], log: bool = False) -> tuple[float, float]:
    """Ends of an axis a little beyond the values."""
    found = list(values)
    low, high = min(found), max(found)
    if log:
        return low / 1.25, high * 1.25
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def px(value: float) -> str:
    """Pixels with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """Words at a place; ``kind`` is a class of the style sheet."""
    named = f' class="{kind}"' if kind else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{px(x)}" y="{px(y)}"{where}{named}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> str:
    """A straight line."""
    return f'<path class="{kind}" d="M{px(x1)} {px(y1)}L{px(x2)} {px(y2)}"/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through pixels."""
    d = "L".join(f"{px(x)} {px(y)}" for x, y in points)
    return f'<path class="{kind}" d="M{d}"/>'


def bar(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> str:
    """A rectangle with words for the pointer."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    size = f'width="{px(max(width, 0.0))}" height="{px(height)}"'
    return f'<rect class="{kind}" x="{px(x)}" y="{px(y)}" {size}>{inner}</rect>'


def x_axis(scale: Scale, y: float, label: str, write: Callable[[float], str], top: float) -> str:
    """An axis below a plot, with a faint line up to ``top`` at every tick."""
    parts = [line(scale.start, y, scale.stop, y)]
    for value in scale.ticks():
        at = scale(value)
        parts.append(line(at, y, at, top, "grid"))
        parts.append(text(at, y + 15, write(value), "middle"))
    parts.append(text((scale.start + scale.stop) / 2, y + 33, label, "middle", "label"))
    return "".join(parts)


def y_axis(scale: Scale, x: float, label: str, write: Callable[[float], str], right: float) -> str:
    """An axis left of a plot, its label above it."""
    parts = [line(x, scale.start, x, scale.stop)]
    for value in scale.ticks(5):
        at = scale(value)
        parts.append(line(x, at, right, at, "grid"))
        parts.append(text(x - 6, at + 4, write(value), "end"))
    parts.append(text(4, min(scale.start, scale.stop) - 10, label, "start", "label"))
    return "".join(parts)


def chart(
    width: float, height: float, body: str, label: str, kind: str = "", data: str = ""
) -> str:
    """A whole picture with words for those who do not see it."""
    return (
        f'<svg class="chart {kind}" viewBox="0 0 {px(width)} {px(height)}" role="img" '
        f'aria-label="{escape(label)}"{data}>{body}</svg>'
    )


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Colours and their names as a list: (class of the sample, words)."""
    items = "".join(
        f'<li><svg class="key" viewBox="0 0 22 10" aria-hidden="true">{sample}</svg>'
        f"{escape(words)}</li>"
        for sample, words in entries
    )
    return f'<ul class="legend">{items}</ul>'


def tints(names: Iterable[str]) -> dict[str, str]:
    """A colour per model: the known ones their own, the others in turn."""
    further = 0
    found: dict[str, str] = {}
    for name in names:
        if name in MODEL_TINTS:
            found[name] = MODEL_TINTS[name]
            continue
        found[name] = _FURTHER_TINTS[further % len(_FURTHER_TINTS)]
        further += 1
    return found
