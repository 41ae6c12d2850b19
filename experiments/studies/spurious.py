"""A cue that goes with the class in training and turns at test: which operators fall for it?

``python -m experiments.studies.spurious --json FILE --document docs/information.md`` plants hot
addresses in one modality of the embedded default, one place for each class, and trains every fusion
operator, the dense twin and each modality alone on it. Rows in the file are not computed again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from experiments.config import Config, load_config
from experiments.evaluation.scores import final_scores
from experiments.loading.data import PairedData, load_data
from experiments.studies.runs import Row, completed, mean_and_range, rows_of, trained
from spikefuse._types import Int64Array
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.fusion import OPERATORS
from spikefuse.pages import markdown_table, write_tables

Law = Literal["agreeing", "absent", "neutral", "reversed"]
LAWS: Mapping[Law, str] = {
    "agreeing": "cue as in training",
    "absent": "no cue",
    "neutral": "cue at random",
    "reversed": "cue of another class",
}
MARK = "spurious cue"
_NO_CUE = -1


@dataclass(frozen=True)
class SpuriousProtocol:
    """What is planted, and how models are trained on it.

    Parameters
    ----------
    agreement : float
        Share of training and validation recordings whose cue is that of their class; the others
        have one of another class.
    pixel_hz, channel_hz : float
        Rate of a hot address: one pixel of a matrix, two neighbouring channels of a row. Chosen on
        another seed, so that models neither miss the cue nor read it alone.
    epochs : int
    n_train, n_validation, n_test : int
        Recordings of each modality.
    """

    agreement: float = 0.95
    pixel_hz: float = 40.0
    channel_hz: float = 100.0
    epochs: int = 16
    n_train: int = 400
    n_validation: int = 150
    n_test: int = 300


def config_of(p: SpuriousProtocol) -> Config:
    """The recipe ``demo``, small, with the same augmentation for spiking and dense models."""
    sizes = [f"data.digits.{k}={v}" for k, v in asdict(p).items() if k.startswith("n_")]
    base = load_config("demo", [*sizes, f"train.epochs={p.epochs}", "train.threads=1"])
    # Of 1: cues of two classes stay apart. The dense twin's own would blur them.
    same = replace(base.train, dense_augment=base.train.augment)
    return replace(base, train=same)


def cue_addresses(sensor_size: tuple[int, int, int], cue: int, n_cues: int) -> Int64Array:
    """Flat addresses ``y W + x`` of a cue, evenly spread over the sensor.

    Of a row of channels two neighbours; of a matrix one pixel, on two lines near its rims.
    """
    width, height, _ = sensor_size
    if height == 1:
        first = round((cue + 0.5) * width / n_cues) - 1
        return np.array([first, first + 1], np.int64)
    column, line = divmod(cue, 2)
    x = round((column + 0.5) * width / (n_cues // 2 + n_cues % 2))
    y = round((0.1, 0.9)[line] * (height - 1))
    return np.array([y * width + x], np.int64)


def with_cue(stream: EventStream, cue: int, n_cues: int, p: SpuriousProtocol) -> EventStream:
    """The recording and regular events of the cue's addresses, ON ones."""
    width, height, _ = stream.sensor_size
    rate_hz = p.channel_hz if height == 1 else p.pixel_hz
    n = round(stream.duration_us * 1e-6 * rate_hz)
    at = np.arange(n) * (stream.duration_us // max(n, 1))
    pixels = cue_addresses(stream.sensor_size, cue, n_cues)
    hot = np.zeros(n * len(pixels), EVENT_DTYPE)
    hot["t"] = np.repeat(at, len(pixels))
    hot["y"], hot["x"] = np.divmod(np.tile(pixels, n), width)
    hot["p"] = True
    events = np.concatenate([stream.events, hot])
    events = events[np.argsort(events["t"], kind="stable")]
    return EventStream.trusted(events, stream.sensor_size, stream.duration_us, stream.modality)


def drawn_cues(
    labels: Int64Array, law: Law, agreement: float, n_cues: int, rng: np.random.Generator
) -> Int64Array:
    """Cue of each recording; -1 for none."""
    others = (labels + rng.integers(1, n_cues, len(labels))) % n_cues
    if law == "absent":
        return np.full(len(labels), _NO_CUE)
    if law == "neutral":
        return rng.integers(0, n_cues, len(labels))
    if law == "reversed":
        return others
    return np.where(rng.random(len(labels)) < agreement, labels, others)


def planted(
    data: PairedData, modality: str, law: Law, p: SpuriousProtocol
) -> tuple[PairedData, Int64Array]:
    """Data whose training and validation hold the agreeing cue, and whose test one of any law.

    Returns
    -------
    (PairedData, int [n])
        And the cue of each test pair.
    """
    n_cues = len(data.classes)
    splits, test_cues = {}, np.empty(0, np.int64)
    for index, (split, parts) in enumerate(data.splits.items()):
        recordings = parts[modality]
        labels = np.array([r.label for r in recordings])
        rng = np.random.default_rng([index, 17])
        of_split: Law = law if split == "test" else "agreeing"
        cues = drawn_cues(labels, of_split, p.agreement, n_cues, rng)
        changed = [
            r if cue == _NO_CUE else replace(r, stream=with_cue(r.stream, cue, n_cues, p))
            for r, cue in zip(recordings, cues.tolist(), strict=True)
        ]
        splits[split] = {**parts, modality: changed}
        if split == "test":
            place = list(parts).index(modality)
            test_cues = cues[[pair[place] for pair in data.fixed_pairs["test"]]]
    return replace(data, splits=splits), test_cues


def model_names(modalities: Sequence[str]) -> list[str]:
    """Each modality alone, every operator, the dense twin of `concat`."""
    return [*(f"snn_{m}" for m in modalities), *OPERATORS, "dense"]


def find_row(p: SpuriousProtocol, data: PairedData, base: Config, key: Row) -> Row:
    """One model trained on the planted cue and asked under every law of it."""
    started = time.process_time()
    name, config = key["model"], base
    if name in OPERATORS:
        config = replace(base, model=replace(base.model, fusion=name))
        name = "snn"
    if name == "dense":
        config = replace(config, train=replace(config.train, dense_epochs=p.epochs))
    training, _ = planted(data, key["cued"], "agreeing", p)
    learner = trained(name, config, training, key["seed"])
    found: Row = {"accuracy": {}, "follows": {}}
    for law in LAWS:
        changed, cues = planted(data, key["cued"], law, p)
        scores = final_scores(learner, changed, "test")
        found["accuracy"][law] = scores.accuracy
        found["follows"][law] = float((scores.log_probs.argmax(1) == cues).mean())
    return found | {"cpu_s": time.process_time() - started}


def table(rows: Sequence[Row]) -> str:
    """Accuracy in percent under every law, means over seeds with their range."""
    cued = list(dict.fromkeys(row["cued"] for row in rows))
    lines = []
    for modality in cued:
        for model in dict.fromkeys(row["model"] for row in rows):
            found = [r for r in rows if r["cued"] == modality and r["model"] == model]
            if not found:
                continue
            by_law = {law: np.array([100 * r["accuracy"][law] for r in found]) for law in LAWS}
            lost = by_law["agreeing"] - by_law["reversed"]
            follows = np.array([100 * r["follows"]["reversed"] for r in found])
            cells = [mean_and_range(values) for values in by_law.values()]
            label = model.removeprefix("snn_") + " alone" if model.startswith("snn_") else model
            cells += [mean_and_range(lost), mean_and_range(follows)]
            row = [modality, label, str(len(found)), *cells]
            lines.append(row)
    heads = ["cue in", "model", "seeds", *LAWS.values(), "lost to the turned cue"]
    return markdown_table([*heads, "answers that follow the turned cue"], lines)


def conclusion(rows: Sequence[Row]) -> str:
    """For each cued modality who loses most and least, and whom the cue leaves worse than alone."""
    sentences = []
    for modality in dict.fromkeys(row["cued"] for row in rows):
        found = [row for row in rows if row["cued"] == modality]
        names = list(dict.fromkeys(row["model"] for row in found))

        def mean(model: str, law: Law, found: list[Row] = found) -> float:
            return 100 * float(np.mean([r["accuracy"][law] for r in found if r["model"] == model]))

        fused = [name for name in names if not name.startswith("snn_")]
        alone = [name for name in names if name.startswith("snn_")]
        if not fused or not alone:
            continue
        lost = {n: mean(n, "agreeing") - mean(n, "reversed") for n in names}
        most, least = max(fused, key=lost.__getitem__), min(fused, key=lost.__getitem__)
        free = [name for name in alone if name != f"snn_{modality}"]
        clean = max((mean(name, "reversed") for name in free), default=float("nan"))
        own = lost.get(f"snn_{modality}", 0.0)
        worse = [f"`{name}`" for name in fused if mean(name, "reversed") < clean]
        sentences.append(
            f"Cue in {modality}: {modality} alone loses {own:.1f} points when it turns; of the "
            f"fused models `{most}` most ({lost[most]:.1f}), `{least}` least ({lost[least]:.1f}). "
            "Worse, with the cue turned, than the modality without a cue by itself "
            f"({clean:.1f} %): {', '.join(worse) or 'none'}."
        )
    return "\n\n".join(sentences)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.spurious", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="file of rows, one a line")
    parser.add_argument("--cued", nargs="+", default=["vision", "audio"], help="modalities")
    parser.add_argument("--models", nargs="+", help="these alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of every training")
    parser.add_argument("--document", type=Path, help="page whose table is replaced")
    parser.add_argument("--stored", action="store_true", help="train nothing")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    protocol = SpuriousProtocol()
    if given.epochs:
        protocol = replace(protocol, epochs=given.epochs)
    rows = rows_of(given.json)
    if not given.stored:
        base = config_of(protocol)
        data = load_data(base.data)
        keys: list[Row] = [
            {"model": model, "cued": cued, "seed": seed} | asdict(protocol)
            for seed in range(given.seeds)
            for cued in given.cued
            for model in given.models or model_names(list(data.sensor_sizes))
        ]
        rows = completed(given.json, keys, lambda key: find_row(protocol, data, base, key))
    text = f"{table(rows)}\n\n{conclusion(rows)}"
    print(text)
    if given.document is not None:
        write_tables(given.document, {MARK: text})


if __name__ == "__main__":
    main()
