"""Membrane traces: fused neurons below and at threshold, and the readout, of one sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import BLUE, GREY, SKY, VERMILION, house_style, new_figure, save_figure
from analysis.records import RunRecord

_MOST = 4


def draw_membranes(data: RunRecord | Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the most active fused neurons, a panel each, and the readout's membranes below.

    A membrane is shown after its reset, which may leave it above threshold; strokes are spikes.

    Parameters
    ----------
    data : RunRecord, or mapping
        With ``trace_ms`` [T], ``trace_v`` [T, k] (threshold in ``trace_threshold``),
        ``trace_spiked`` [T, k], ``trace_neuron`` [k], ``readout_v`` [T, C], ``label`` and
        ``decision_ms``; nothing is drawn without.
    folder : Path
    """
    traces = (data.raster or {}) if isinstance(data, RunRecord) else data
    if "trace_v" not in traces:
        return []
    times, v = np.asarray(traces["trace_ms"]), np.asarray(traces["trace_v"])
    spiked, threshold = np.asarray(traces["trace_spiked"]), float(traces["trace_threshold"])
    neurons, readout = np.asarray(traces["trace_neuron"]), np.asarray(traces["readout_v"])
    n_shown = min(_MOST, v.shape[1])
    with house_style():
        figure, axes = new_figure(
            n_shown + 1,
            7.0,
            1.0 + 1.05 * n_shown + 1.8,
            sharex=True,
            gridspec_kw={"height_ratios": [1.0] * n_shown + [1.8]},
        )
        for k, axis in enumerate(axes[:-1, 0]):
            axis.axhline(threshold, color=GREY, linestyle="--", linewidth=0.8)
            axis.plot(times, v[:, k], color=BLUE, linewidth=1.2)
            at = spiked[:, k]
            axis.plot(
                times[at],
                np.ones(int(at.sum())),
                "|",
                color=VERMILION,
                markersize=7,
                transform=axis.get_xaxis_transform(),
                clip_on=False,
            )
            axis.set_ylim(None, max(1.2 * threshold, 1.15 * float(v[:, k].max())))
            axis.set_ylabel(f"neuron {int(neurons[k])}")
        axes[0, 0].set_title(
            "Most active fused neurons, after reset (red strokes: spikes; dashed: threshold)",
            loc="left",
            fontsize=9,
        )
        last, label = axes[-1, 0], int(traces["label"])
        for c in range(readout.shape[1]):
            if c != label:
                last.plot(times, readout[:, c], color=SKY, linewidth=0.8)
        last.plot(times, readout[:, label], color=VERMILION, linewidth=2.0, label="true class")
        last.axvline(
            float(traces["decision_ms"]),
            color="black",
            linestyle="--",
            linewidth=1,
            label="answer final",
        )
        last.set_ylabel("readout\nmembranes")
        last.set_xlabel("time from stimulus onset (ms)")
        last.legend(loc="best", fontsize=8)
        last.set_xlim(0, float(times[-1]))
        figure.align_ylabels(axes[:, 0])
        columns: dict[str, Any] = {"time_ms": times.tolist()}
        for k, neuron in enumerate(neurons):
            columns[f"v_neuron_{int(neuron)}"] = v[:, k].tolist()
            columns[f"spiked_neuron_{int(neuron)}"] = spiked[:, k].tolist()
        for c in range(readout.shape[1]):
            columns[f"readout_class_{c}"] = readout[:, c].tolist()
        return save_figure(figure, folder, "membranes", columns)
