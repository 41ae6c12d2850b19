"""Same-source scenes for the alignment study: does an embedding find the sound of what it saw?

S2 and S5 draw both modalities of a sample from one source, so an instance can be retrieved. Here
are the samples, the training of a `JointEmbedding` on fresh ones, the references, and recall.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.retrieval import recall_at
from sensors.scenes.catalogue import scene_by_name
from sensors.scenes.grid import GridScene
from spikefuse._types import BoolArray, FloatArray, Int64Array
from spikefuse.objectives.contrastive import Temperature, info_nce
from spikefuse.objectives.embedding import JointEmbedding

Trains = dict[str, BoolArray]  # [B, T, N], steps of 1 ms
N_CANDIDATES, RANKS = 100, (1, 5)
# Seeds of the generator: training uses 1 + the model's seed.
_TEST_SEED, _VALIDATION_SEED = 7100, 7200
_BLOCK = 256
_REFERENCE_SD_MS = (4.0, 8.0, 16.0, 32.0, 64.0)
_REFERENCE_LAGS_MS = (0, 60, 80, 100, 120, 140)


@dataclass(frozen=True)
class SceneProtocol:
    """How one scene is binned, embedded and trained on.

    Parameters
    ----------
    name : str
        Of the scene.
    dt_ms : int
        Step of the embedding.
    tau_ms : float
        Time constant of its traces.
    tap_ms : float
        Distance of the delays at which they are read, from 0 to the sample's length.
    hidden, dim : int
        Of each head.
    n_train, n_batch : int
        Updates, and fresh samples in each.
    learning_rate : float
    n_galleries : int
        Of 100 test samples each.
    """

    name: str
    dt_ms: int
    tau_ms: float
    tap_ms: float
    hidden: int = 512
    dim: int = 128
    n_train: int = 1000
    n_batch: int = 256
    learning_rate: float = 2e-3
    n_galleries: int = 10


SCENE_PROTOCOLS = (
    SceneProtocol("s2", dt_ms=2, tau_ms=6.0, tap_ms=6.0),
    SceneProtocol("s5", dt_ms=10, tau_ms=20.0, tap_ms=20.0),
)


def same_source(scene: GridScene[Any], seed: int, n: int, start: int = 0) -> tuple[Trains, int]:
    """``n`` samples whose modalities have one source, and the index after the last one drawn.

    S5 draws samples that are shifted, too; they are left out.
    """
    parts: list[Trains] = []
    n_found, at = 0, start
    while n_found < n:
        drawn = scene.generate(scene.uniforms(seed, range(at, at + _BLOCK), scene.n_uniforms))
        keep = drawn.labels == 1 if scene.name == "s5" else np.ones(_BLOCK, dtype=np.bool_)
        parts.append({name: train[keep] for name, train in drawn.trains().items()})
        n_found, at = n_found + int(keep.sum()), at + _BLOCK
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}, at


def rolled(trains: Trains, rng: np.random.Generator) -> Trains:
    """The same with each sound moved round by a random time: its spikes and intervals are kept."""
    n, n_steps, _ = trains["audio"].shape
    start: Int64Array = rng.integers(0, n_steps, size=(n,))
    at = (np.arange(n_steps) + start[:, None]) % n_steps
    return {**trains, "audio": np.take_along_axis(trains["audio"], at[:, :, None], axis=1)}


def binned(trains: Trains, dt_ms: int) -> dict[str, Tensor]:
    """Counts per step, float32 ``[T, B, N]``."""
    counts = {}
    for name, train in trains.items():
        n, n_steps, n_addresses = train.shape
        steps = train.reshape(n, n_steps // dt_ms, dt_ms, n_addresses).sum(axis=2)
        counts[name] = torch.from_numpy(
            np.ascontiguousarray(steps.transpose(1, 0, 2), dtype=np.float32)
        )
    return counts


def build(p: SceneProtocol, scene: GridScene[Any], seed: int) -> JointEmbedding:
    """A fresh embedding; the same seed gives the same weights."""
    torch.manual_seed(seed)
    delays_ms = tuple(float(d) for d in np.arange(0, scene.duration_ms, p.tap_ms))
    return JointEmbedding(
        scene.modalities,
        p.dim,
        dt_ms=p.dt_ms,
        tau_ms=p.tau_ms,
        delays_ms=delays_ms,
        hidden=p.hidden,
    )


def trained(p: SceneProtocol, seed: int, roll: bool = False) -> JointEmbedding:
    """An embedding trained by InfoNCE over pairs, every update on fresh samples.

    Parameters
    ----------
    p : SceneProtocol
    seed : int
    roll : bool
        Whether every sound is `rolled` first, so that only counts and intervals can be aligned.
    """
    scene = scene_by_name(p.name)
    model, temperature, at = build(p, scene, seed), Temperature(), 0
    rng = np.random.default_rng([seed, 1])
    parameters = [*model.parameters(), *temperature.parameters()]
    optimiser = torch.optim.AdamW(parameters, p.learning_rate, weight_decay=1e-4)
    for step in range(p.n_train):
        scale = 0.5 * (1 + math.cos(math.pi * step / p.n_train))
        for group in optimiser.param_groups:
            group["lr"] = p.learning_rate * max(scale, 0.02)
        trains, at = same_source(scene, 1 + seed, p.n_batch, at)
        if roll:
            trains = rolled(trains, rng)
        z, _ = model(binned(trains, p.dt_ms))
        optimiser.zero_grad()
        torch.autograd.backward(info_nce(z["vision"], z["audio"], temperature()))
        optimiser.step()
    return model


@torch.no_grad()
def cosines(model: JointEmbedding, trains: Trains, dt_ms: int) -> FloatArray:
    """Score of every vision (row) with every sound (column)."""
    z, _ = model(binned(trains, dt_ms))
    scores: FloatArray = (z["vision"] @ z["audio"].T).double().numpy()
    return scores


def correlations(trains: Trains, sd_ms: float, lag_ms: int, best: bool) -> FloatArray:
    """Reference without learning: correlation of smoothed counts, vision (row) with sound.

    Parameters
    ----------
    trains : mapping of modality to bool array [B, T, N]
    sd_ms : float
        Of the Gaussian that smooths the counts.
    lag_ms : int
        How much later the sound is taken to be, round the sample's end.
    best : bool
        Whether the vision channel that fits best is compared, or the sum of all.
    """
    from scipy.ndimage import gaussian_filter1d

    def centred(counts: FloatArray) -> FloatArray:
        smooth = gaussian_filter1d(counts, sd_ms, axis=1)
        smooth = smooth - smooth.mean(axis=1, keepdims=True)
        length = np.linalg.norm(smooth, axis=1, keepdims=True)
        unit: FloatArray = smooth / np.where(length > 0, length, 1)
        return unit

    sound = centred(np.roll(trains["audio"].sum(axis=2).astype(float), -lag_ms, axis=1))
    vision = trains["vision"].astype(float)
    channels = vision.transpose(2, 0, 1) if best else vision.sum(axis=2)[None]
    scores: FloatArray = np.stack([centred(channel) @ sound.T for channel in channels]).max(axis=0)
    return scores


def tuned_correlation(p: SceneProtocol) -> dict[str, Any]:
    """Smoothing, lag and kind of `correlations` with the best recall on validation samples."""
    scene = scene_by_name(p.name)
    trains, _ = same_source(scene, _VALIDATION_SEED, 3 * N_CANDIDATES)
    choices = [
        {"sd_ms": sd, "lag_ms": lag, "best": best}
        for sd in _REFERENCE_SD_MS
        for lag in _REFERENCE_LAGS_MS
        for best in (False, True)
    ]

    def score(choice: dict[str, Any]) -> float:
        found = _recall([correlations(g, **choice) for g in _galleries(trains)])
        return float(np.mean([np.mean(values) for values in found.values()]))

    return max(choices, key=score)


def scene_cells(p: SceneProtocol, seed: int) -> list[dict[str, Any]]:
    """Recall of one model seed: untrained, trained, and both controls."""
    scene = scene_by_name(p.name)
    test, _ = same_source(scene, _TEST_SEED, p.n_galleries * N_CANDIDATES)
    moved = rolled(test, np.random.default_rng(_TEST_SEED))
    before = time.process_time()
    model = trained(p, seed)
    cpu_s = time.process_time() - before
    control = trained(p, seed, roll=True)
    counts = model.count_operations(binned(test, p.dt_ms))
    cost = {
        "cpu_s": cpu_s,
        "accumulates": counts.effective_acs,
        "multiplications": counts.effective_macs,
    }
    models: tuple[tuple[str, JointEmbedding, Trains], ...] = (
        ("untrained", build(p, scene, seed), test),
        ("trained", model, test),
        ("trained, sound moved at test", model, moved),
        ("trained on moved sound", control, moved),
    )
    cells = []
    for variant, embedding, trains in models:
        scores = [cosines(embedding, g, p.dt_ms) for g in _galleries(trains)]
        extra = cost if variant == "trained" else {}
        cells.append(_cell(p, variant, seed, scores) | extra)
    return cells


def reference_cells(p: SceneProtocol) -> list[dict[str, Any]]:
    """Recall of what needs no training: the tuned correlation and the ideal observer."""
    scene: Any = scene_by_name(p.name)
    test, _ = same_source(scene, _TEST_SEED, p.n_galleries * N_CANDIDATES)
    choice, nothing = tuned_correlation(p), np.zeros(N_CANDIDATES)
    correlated = [correlations(g, **choice) for g in _galleries(test)]
    ideal = [scene.match(g, nothing) for g in _galleries(test)]
    return [
        _cell(p, "cross-correlation", 0, correlated) | {"choice": choice},
        _cell(p, "ideal observer", 0, ideal),
    ]


def _galleries(trains: Trains) -> list[Trains]:
    """Samples in groups of 100, each other's candidates."""
    n = len(trains["audio"])
    return [
        {name: train[i : i + N_CANDIDATES] for name, train in trains.items()}
        for i in range(0, n, N_CANDIDATES)
    ]


def _recall(galleries: list[FloatArray]) -> dict[str, list[float]]:
    """Recall of every query, gallery after gallery, by direction and rank."""
    found: dict[str, list[float]] = {}
    own = np.arange(N_CANDIDATES)
    for scores in galleries:
        for direction, table in (("vision", scores), ("audio", scores.T)):
            for k in RANKS:
                found.setdefault(f"{direction}@{k}", []).extend(recall_at(table, own, k).tolist())
    return found


def _cell(p: SceneProtocol, variant: str, seed: int, galleries: list[FloatArray]) -> dict[str, Any]:
    """One line of results."""
    return {"part": p.name, "variant": variant, "seed": seed, "recall": _recall(galleries)}
