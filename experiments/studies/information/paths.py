"""What each path of a fused model causes: its spikes are replaced by those of another sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.stress.conditions import foreign
from experiments.stress.swaps import Donors
from experiments.training.learners import Learner
from spikefuse._types import Int64Array
from spikefuse.errors import ConfigError
from spikefuse.events import MultiStream
from spikefuse.models import FusionOutput, FusionSNN
from spikefuse.spikes import SpikeBatch

_BATCH = 64
Spikes = Tensor | SpikeBatch
Effects = dict[str, dict[str, Any]]


@contextmanager
def watched(model: FusionSNN, patches: Mapping[str, Spikes]) -> Iterator[dict[str, str]]:
    """Paths of the model's operator while it runs, with the spikes of some of them replaced.

    A path is the outermost part of the operator that is called on one modality's spikes as they
    leave the encoder (or, with early fusion, the sensor): its own synapses, or those to another
    modality's neurons.

    Parameters
    ----------
    model : FusionSNN
    patches : mapping of path to spikes (T, B, n)
        What it hears instead.

    Yields
    ------
    dict of path to modality
        Filled as the model runs.
    """
    found: dict[str, str] = {}
    heard: dict[int, str] = {}

    def listen(_: nn.Module, args: tuple[Any, ...]) -> None:
        heard.clear()
        heard.update({id(spikes): name for name, spikes in args[0].items()})

    def patch(name: str) -> Any:
        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            modality = heard.get(id(args[0])) if args else None
            if modality is None or any(name.startswith(f"{path}.") for path in found):
                return None
            found[name] = modality
            return (patches[name], *args[1:]) if name in patches else None

        return before

    handles = [model.fusion.register_forward_pre_hook(listen)]
    for name, part in model.fusion.named_modules():
        if name:
            handles.append(part.register_forward_pre_hook(patch(name)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def path_effects(
    learner: Learner, data: PairedData, seed: int = 0, limit: int | None = None
) -> Effects:
    """Answers on test pairs after one path, or all paths of a modality, hear another sample.

    What is heard is the modality of another test sample with as many events (`foreign`), encoded by
    the same model: of the same class, which is the control, or of any other.

    Parameters
    ----------
    learner : Learner
        A spiking model of two or more modalities.
    data : PairedData
    seed : int
        Of the choice of donors.
    limit : int, optional
        Test pairs, the first ones.

    Returns
    -------
    dict of path to dict
        ``source``, ``same`` and ``other`` (points of accuracy lost), ``follows`` (points gained by
        the other sample's class). Of a modality as a whole under its name followed by ``, all``.

    Raises
    ------
    ConfigError
        If the model is not spiking, has one modality, or no path that reads spikes as they come.
    """
    model = learner.model
    if not isinstance(model, FusionSNN) or len(learner.modalities) < 2:
        raise ConfigError(f"model must be spiking and of two modalities, got {learner.name!r}")
    pairs = list(data.fixed_pairs["test"])[:limit]
    samples = [s for b in batches(data, "test", pairs, _BATCH) for s in b.samples]
    labels = np.array([s.label for s in samples], np.int64)
    sources = {m: [str(s.provenance[f"{m}_source"]) for s in samples] for m in learner.modalities}
    donors = Donors(samples, labels, sources)
    clean, paths = _answers(learner, samples)
    if not paths:
        raise ConfigError(
            f"model.fusion must hold paths that read one modality's spikes, got none in "
            f"{model.spec.fusion!r}"
        )
    groups = {path: [path] for path in paths}
    for modality in learner.modalities:
        own = [path for path, source in paths.items() if source == modality]
        if len(own) > 1:
            groups[f"{modality}, all"] = own
    effects: Effects = {group: {"source": paths[parts[0]]} for group, parts in groups.items()}
    for modality in learner.modalities:
        other_class = labels[donors.of(modality, False, seed)]
        for kind in ("same", "other"):
            condition = foreign(modality, kind == "same", donors)
            changed = [condition.change(s, i, seed) for i, s in enumerate(samples)]
            for group, effect in effects.items():
                if effect["source"] != modality:
                    continue
                patched, _ = _answers(learner, samples, modality, changed, groups[group])
                effect[kind] = float((clean == labels).mean() - (patched == labels).mean())
                if kind == "other":
                    before = (clean == other_class).mean()
                    effect["follows"] = float((patched == other_class).mean() - before)
    return effects


@torch.no_grad()
def _answers(
    learner: Learner,
    samples: Sequence[MultiStream],
    modality: str = "",
    donors: Sequence[MultiStream] = (),
    patched: Sequence[str] = (),
) -> tuple[Int64Array, dict[str, str]]:
    """Answers [n] with some paths hearing a modality of the donors, and all paths there are."""
    model = cast(FusionSNN, learner.model)
    model.eval()
    answers: list[Tensor] = []
    paths: dict[str, str] = {}
    for start in range(0, len(samples), _BATCH):
        part = list(samples[start : start + _BATCH])
        patches: dict[str, Spikes] = {}
        if patched:
            foreign_events = learner.events(list(donors[start : start + _BATCH]))
            # An operator without encoders before it hears the sensors' events.
            heard = model(foreign_events).encoded or foreign_events
            patches = dict.fromkeys(patched, heard[modality])
        with watched(model, patches) as found:
            out: FusionOutput = model(learner.events(part))
        paths = dict(found)
        answers.append(learner.final_scores(out, part).argmax(1))
    return torch.cat(answers).numpy(), paths
