"""Mean power of an always-on system over how often it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import GREY, color_of, house_style, save_figure
from analysis.naming import model_name
from analysis.own_networks import own_names
from analysis.records import RunRecord
from analysis.tables import profiles_of

_SIDES = ("snn", "dense")
_LINES = {"always_on_mw": "-", "gated_mw": "--"}


def draw_duty(run: RunRecord, folder: Path) -> list[Path]:
    """One panel per profile: SNN, dense twin, own networks, always on and gated, above sensors."""
    models = run.result["models"]
    panels = {
        profile: {
            name: duty
            for name in (*_SIDES, *own_names(run.result))
            if name in models
            and (duty := models[name]["energy"].get(profile, {}).get("duty")) is not None
        }
        for profile in profiles_of(run.result)
    }
    panels = {profile: found for profile, found in panels.items() if found}
    if not panels:
        return []
    from matplotlib.figure import Figure

    columns = ("profile", "model", "power", "rate_hz", "power_mw")
    rows: dict[str, list[Any]] = {key: [] for key in columns}
    with house_style():
        figure = Figure(figsize=(3.9 * len(panels), 3.5), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (profile, found) in zip(axes, panels.items(), strict=True):
            for place, (name, duty) in enumerate(found.items()):
                curves = {"always_on_mw": "always on", "gated_mw": "off between steps"}
                for key, words in curves.items():
                    if duty[key] is None:
                        continue
                    # The sensors' power is the same for both and hides all else: it is a line.
                    above = np.array(duty[key]) - duty["sensors_mw"]
                    axis.plot(
                        duty["rates_hz"],
                        above,
                        color=color_of(name, place),
                        linestyle=_LINES[key],
                        linewidth=3.0 if name == "dense" else 1.3,  # one may lie on the other
                        zorder=1 if name == "dense" else 2,
                        label=f"{model_name(name)}, {words}",
                    )
                    for rate, power in zip(duty["rates_hz"], duty[key], strict=True):
                        cells = (profile, name, words, rate, power)
                        for column, cell in zip(columns, cells, strict=True):
                            rows[column].append(cell)
            sensors_mw = next(iter(found.values()))["sensors_mw"]
            if sensors_mw:
                axis.axhline(sensors_mw, color=GREY, linestyle=":", label="sensors, always on")
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_title(profile, loc="left")
            axis.set_xlabel("answers per second")
            axis.grid(alpha=0.3)
        axes[0].set_ylabel("mean power (mW, modelled)")
        seen: dict[str, Any] = {}
        for axis in axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                seen.setdefault(label, handle)
        figure.legend(
            list(seen.values()), list(seen), loc="outside lower center", ncols=min(len(seen), 3)
        )
        return save_figure(figure, folder, "duty", rows)
