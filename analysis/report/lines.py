"""Curves and points on two axes, as the report draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from analysis.report.svg import Scale, chart, legend, line, padded, path, px, text, x_axis, y_axis

WIDTH, HEIGHT = 760.0, 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 16.0, 30.0, 44.0
MARKERS = ("dot", "square", "cross", "diamond")


@dataclass(frozen=True)
class Spot:
    """One point of a curve.

    Parameters
    ----------
    x, y : float
    words : str
        What the pointer is told.
    interval : pair of float, optional
        Of ``y``, drawn as a bar.
    """

    x: float
    y: float
    words: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Series:
    """One curve, or points alone.

    Parameters
    ----------
    name : str
    tint : str
        A colour of the style sheet.
    spots : sequence of Spot
    marker : str, optional
        One of `MARKERS`.
    joined : bool
        Whether a line joins the points.
    dashed : bool
    band : bool
        Whether the intervals are a band, not bars.
    """

    name: str
    tint: str
    spots: Sequence[Spot]
    marker: str | None = "dot"
    joined: bool = True
    dashed: bool = False
    band: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis says and where it ends; ends follow from the points where None."""

    label: str
    ends: tuple[float, float] | None = None
    log: bool = False
    write: Callable[[float], str] = "{:g}".format


def draw_lines(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    label: str,
    *,
    verticals: Mapping[str, float] | None = None,
    horizontals: Mapping[str, float] | None = None,
    size: tuple[float, float] = (WIDTH, HEIGHT),
    kind: str = "",
    keyed: bool = True,
) -> str:
    """A picture with its legend.

    Parameters
    ----------
    series : sequence of Series
        At least one point in all.
    x, y : Axis
    label : str
        Words for those who do not see it.
    verticals, horizontals : mapping of words to a value, optional
        Dotted lines.
    size : (float, float)
        Width and height in pixels.
    kind : str
        Class of the picture; with ``spots`` every marker carries its number for the script.
    keyed : bool
        Whether the legend stands above.
    """
    width, height = size
    spots = [spot for s in series for spot in s.spots]
    across = Scale(*(x.ends or padded([s.x for s in spots], x.log)), _LEFT, width - _RIGHT, x.log)
    values = [v for s in spots for v in (s.interval or (s.y,))] + [s.y for s in spots]
    up = Scale(*(y.ends or padded(values, y.log)), height - _BOTTOM, _TOP, y.log)
    body = [
        y_axis(up, _LEFT, y.label, y.write, width - _RIGHT),
        x_axis(across, height - _BOTTOM, x.label, x.write, _TOP),
    ]
    for words, value in (verticals or {}).items():
        body.append(line(across(value), _TOP, across(value), height - _BOTTOM, "mark"))
        if words.strip():
            body.append(text(across(value) + 4, _TOP + 10, words, "start", "small"))
    for words, value in (horizontals or {}).items():
        body.append(line(_LEFT, up(value), width - _RIGHT, up(value), "mark"))
        body.append(text(width - _RIGHT - 4, up(value) - 5, words, "end", "small"))
    numbered = "spots" in kind.split()
    number = 0
    for one in series:
        places = [(across(s.x), up(s.y)) for s in one.spots]
        if one.band and len(places) > 1:
            body.append(_band(one, across, up))
        if one.joined and len(places) > 1:
            body.append(path(places, f"line s-{one.tint}{' dashed' if one.dashed else ''}"))
        for (at, level), spot in zip(places, one.spots, strict=True):
            if spot.interval and not one.band:
                low, high = (up(v) for v in spot.interval)
                body.append(line(at, low, at, high, f"line s-{one.tint}"))
            if one.marker is not None:
                body.append(_marker(at, level, one, spot.words, number if numbered else None))
            number += 1
    keys = [(_key(one), one.name) for one in series if one.name]
    picture = chart(width, height, "".join(body), label, kind)
    return (legend(keys) if keyed and len(keys) > 1 else "") + f'<div class="wide">{picture}</div>'


def _band(one: Series, across: Scale, up: Scale) -> str:
    """The area between the ends of the intervals."""
    known = [s for s in one.spots if s.interval]
    upper = [f"{px(across(s.x))} {px(up(s.interval[1]))}" for s in known if s.interval]
    lower = [f"{px(across(s.x))} {px(up(s.interval[0]))}" for s in reversed(known) if s.interval]
    return f'<path class="band f-{one.tint}" d="M{"L".join(upper + lower)}Z"/>' if known else ""


def _marker(x: float, y: float, one: Series, words: str, number: int | None) -> str:
    """A marker that differs in shape as well as in colour."""
    shape = {
        "dot": "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
        "square": "m-3.5-3.5h7v7h-7z",
        "cross": "m-3.5-3.5l7 7m0-7l-7 7",
        "diamond": "m0-4.5l4.5 4.5l-4.5 4.5l-4.5-4.5z",
    }[one.marker or "dot"]
    look = f"line s-{one.tint}" if one.marker == "cross" else f"f-{one.tint}"
    title = f"<title>{escape(words)}</title>" if words else ""
    known = "" if number is None else f' data-spot="{number}"'
    return f'<path class="{look}" d="M{px(x)} {px(y)}{shape}"{known}>{title}</path>'


def _key(one: Series) -> str:
    """A sample of a curve for the legend."""
    parts = []
    if one.joined:
        parts.append(line(0, 5, 22, 5, f"line s-{one.tint}{' dashed' if one.dashed else ''}"))
    if one.marker is not None:
        parts.append(_marker(11, 5, one, "", None))
    return "".join(parts)
