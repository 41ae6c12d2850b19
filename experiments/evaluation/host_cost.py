"""What one sample of a trained model costs this host: measured, beside no modelled figure."""

from __future__ import annotations

from dataclasses import asdict
from itertools import cycle
from typing import Any

import torch

from experiments.config import Config
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.learners import Learner
from spikefuse.measure import EnergyMeter, measure


def describe_host(
    learner: Learner, data: PairedData, config: Config, meter: EnergyMeter | None = None
) -> dict[str, Any]:
    """Wall and processor time, memory and joules of one test sample at batch 1.

    Inputs are prepared within the call, as for the latency. Samples follow one another, so that the
    median is not that of one recording.

    Returns
    -------
    dict
        Fields of `spikefuse.measure.host.HostCost`.
    """
    n_calls = max(config.cost.latency_repeats, 3)
    pairs = list(data.fixed_pairs["test"][:n_calls])
    prepared = cycle(list(batches(data, "test", pairs, 1)))
    learner.model.eval()

    def answer() -> None:
        """One sample, from its streams to the class scores."""
        with torch.no_grad():
            learner.anytime_scores(next(prepared).samples, [learner.duration_ms])

    return asdict(measure(answer, meter=meter, n_calls=n_calls))
