"""Networks of one's own in a run: how each was read, and what it costs beside the run's models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.answers import accuracy_difference
from analysis.naming import model_name
from analysis.records import RunRecord
from analysis.tables import Table

_OTHERS = {"snn": "the SNN", "dense": "the dense twin"}
_ANSWERS = {
    "steps": "at every step",
    "once": "once; asked again at each window",
    "ahead": "at every step, from later ones too; asked again at each window",
}
_ASKED = (
    "Asked again at each window: a run of its own for every time, what comes later left out, and "
    "paid for each time. Between the windows it has no answer, and its steps have no latency on a "
    "chip"
)


def own_names(result: Mapping[str, Any]) -> list[str]:
    """Models that are networks of one's own."""
    return [name for name, entry in result["models"].items() if "own_network" in entry]


def own_table(result: Mapping[str, Any]) -> Table:
    """Where each comes from, when it answers, and what is rounded at 8 bits."""
    rows: list[tuple[str, ...]] = []
    notes: dict[str, int] = {}
    for name in own_names(result):
        entry = result["models"][name]
        about = entry["own_network"]
        answers = about.get("answers", "")
        said = _ANSWERS.get(answers, "not recorded")
        if answers in ("once", "ahead"):
            said += f" ({notes.setdefault(_ASKED, len(notes) + 1)})"
        bits: list[str] = []
        for precision, found in entry["accuracy_by_precision"].items():
            if precision == "fp32":
                continue
            if found["accuracy"] is None:
                why = found.get("reason") or "no reason recorded"
                bits.append(f"{precision}: none ({notes.setdefault(why, len(notes) + 1)})")
            else:
                bits.append(f"{precision}: {found['accuracy']:.3f}")
        trained = "as it was given" if about.get("trained") is None else "here, as the run's models"
        rows.append(
            (
                model_name(name),
                about["network"],
                f"{about['layout']}{', step by step' * about['loop']}",
                said,
                trained,
                "; ".join(bits) or "not priced",
            )
        )
    header = ("model", "network", "reads", "answers", "trained", "accuracy in few bits")
    return Table("Networks of one's own", header, tuple(rows), tuple(notes))


def own_lines(profile: str, front: Mapping[str, Any]) -> list[str]:
    """What each network costs at one accuracy against SNN and dense twin, without full stops."""
    lines: list[str] = []
    for name, others in front.get("own", {}).items():
        for other, found in others.items():
            start = f"{profile}: {model_name(name)} against {_OTHERS[other]}"
            if found["accuracy"] is None or found["value"] is None:
                unknown = found["accuracy"] is None
                why = found["reason"] if unknown else "one of them does not reach the accuracy"
                lines.append(f"{start}: no comparison at equal accuracy: {why}")
                continue
            text = (
                f"{start}, accuracy {found['accuracy']:.3f}: {found['value']:.3g} times the "
                "dynamic energy at nominal constants"
            )
            lines.append(text + ratio_limits(found, " times"))
    return lines


def ratio_limits(found: Mapping[str, Any], unit: str = "") -> str:
    """What qualifies a ratio of energies at one accuracy: its value with exits, its interval."""
    text = ""
    exits = found["value_with_exits"]
    if exits is not None and exits != found["value"]:
        text += f" ({exits:.3g}{unit} with exits by confidence)"
    if found.get("interval"):
        low, high = found["interval"]
        text += (
            f", 95 % interval [{low:.3g}, {high:.3g}] over recordings and seeds (both reach it in "
            f"{found['share_reached']:.0%} of draws)"
        )
    return text


def own_sentences(run: RunRecord) -> list[str]:
    """Accuracy of each network beside SNN and dense twin, and whether they are told apart."""
    lines: list[str] = []
    models = run.result["models"]
    for name in own_names(run.result):
        text = (
            f"{model_name(name)}, a network of one's own: accuracy {models[name]['accuracy']:.3f}"
        )
        for other in (o for o in _OTHERS if o in models):
            found = accuracy_difference(run, name, other)
            if found is None:
                continue
            difference, (low, high) = found
            told = "not told apart" if low <= 0 <= high else "ahead" if low > 0 else "behind"
            text += (
                f"; minus {_OTHERS[other]} {100 * difference:+.1f} points, paired 95 % interval "
                f"[{100 * low:+.1f}, {100 * high:+.1f}], {told}"
            )
        lines.append(f"{text}.")
        reuse = str(run.config.get("cost", {}).get("reuse", "ideal"))
        for other, same in models[name]["own_network"].get("at_equal_accuracy", {}).items():
            lines += _at_one_accuracy(name, other, same, reuse)
    return lines


def _at_one_accuracy(name: str, other: str, same: Mapping[str, Any], reuse: str) -> list[str]:
    """Time and energy of a network and another at one accuracy, in sentences."""
    start = f"{model_name(name)} against {_OTHERS[other]}"
    if "reason" in same:
        return [f"{start}: no comparison at equal accuracy, {same['reason']}."]
    own_ms, other_ms = (
        "never" if t is None else f"after {t:.0f} ms" for t in (same["own_ms"], same["other_ms"])
    )
    text = f"{start}: accuracy {same['accuracy']:.3f} {own_ms} of stimulus against {other_ms}"
    parts: list[str] = []
    for profile, by_reuse in same["energy"].items():
        found = by_reuse.get(reuse) or next(iter(by_reuse.values()))
        if "reason" in found:
            parts.append(f"no energy ratio on {profile} ({found['reason']})")
            continue
        parts.append(
            f"{found['median']:.3g} [{found['low']:.3g}, {found['high']:.3g}] times the dynamic "
            f"energy on {profile}"
        )
    said = "; ".join([text, *parts])
    return [f"{said} (modelled; median and 5 to 95 % of draws of the constants, reuse {reuse})."]
