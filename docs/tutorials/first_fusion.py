"""First fusion in ten minutes.

Two sensors see and hear the same digit. We look at what they send, train a small spiking network
that fuses both, and ask what it costs. Run it as a script, or cell by cell in an editor that
knows ``# %%``:

    python docs/tutorials/first_fusion.py [FOLDER for the pictures]

It needs no download. With SPIKEFUSE_SMALL=1 it runs at the size of a test.
"""

# %% Data
# The embedded default is real handwritten digits (UCI), moved in front of our pixel model, and
# spoken digits of our speech synthesiser, heard by our cochlea. Both write *events*: a time in
# microseconds, an address, a polarity. They share one clock.
import os
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from experiments.config import load_config
from experiments.loading.batches import batches, spiking_inputs
from experiments.loading.data import load_data
from spikefuse.models import FusionSNN, ModelSpec, running_mean

small = "SPIKEFUSE_SMALL" in os.environ
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "first_fusion")

sizes = ["data.digits.n_train=80", "data.digits.n_test=40"] if small else []
config = load_config("demo", ["data.digits.n_validation=40", *sizes])
data = load_data(config.data)
sample = next(batches(data, "train", data.epoch_pairs(0, 0, 1), 1)).samples[0]
for name, stream in sample.streams.items():
    print(f"{name}: {len(stream)} events of {stream.sensor_size}, label {sample.label}")

# %% Steps
# A network with a clock reads the events in steps: here 400 ms in 20 steps of 20 ms. Nothing is
# lost: two events of one address in one step count as two.
dt_ms, n_steps = 20.0, 20
inputs = spiking_inputs([sample], ("vision", "audio"), dt_ms, n_steps)
for name, events in inputs.items():
    total = int(events.to_dense().sum())
    print(f"{name}: (steps, samples, addresses) = {tuple(events.shape)}, {total} events in them")

# %% A network
# An encoder for each modality, a fused population, a leaky readout. `fusion="concat"` is the plain
# operator; `spikefuse.fusion.OPERATORS` lists the others.
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.neurons import LIFParams


def network(*modalities: str) -> FusionSNN:
    """A fusion model of some of the modalities."""
    parts = tuple(
        ModalitySpec(name, data.sensor_sizes[name], EncoderSpec(hidden=64)) for name in modalities
    )
    torch.manual_seed(0)
    return FusionSNN(ModelSpec(parts, 10, dt_ms, "concat", 64, LIFParams()))


# %% Training
# An ordinary loop of torch. Events have no gradient, spikes of neurons have a surrogate one.
# The evidence for a class is the running mean of the readout.
def train(model: FusionSNN, n_epochs: int) -> None:
    """Adam on the evidence at the end."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(n_epochs):
        pairs = data.epoch_pairs(0, epoch, 1)  # every picture with another utterance of its digit
        for batch in batches(data, "train", pairs, 32):
            events = spiking_inputs(batch.samples, model.modalities, dt_ms, n_steps)
            evidence = running_mean(model(events).scores)[-1]
            optimizer.zero_grad()
            cross_entropy(evidence, batch.labels).backward()
            optimizer.step()


@torch.no_grad()
def right(model: FusionSNN, split: str) -> list[torch.Tensor]:
    """Whether the answer after every step is right, batch by batch: ``[T, B]``."""
    found = []
    for batch in batches(data, split, data.fixed_pairs[split], 64):
        events = spiking_inputs(batch.samples, model.modalities, dt_ms, n_steps)
        scores = model.infer(events).scores  # the fast path: events from layer to layer
        found.append(running_mean(scores).argmax(2) == batch.labels)
    return found


models = {
    "vision": network("vision"),
    "audio": network("audio"),
    "both": network("vision", "audio"),
}
accuracy = {}
for name, model in models.items():
    train(model, 2 if small else 15)
    accuracy[name] = torch.cat(right(model, "test"), dim=1).float().mean(dim=1)
    print(f"{name}: {accuracy[name][-1]:.3f} of the test pairs right after 400 ms")

# %% When
# A spiking network can answer at any time. How early is it right?
for step in (4, 9, 14, 19):
    line = ", ".join(f"{name} {curve[step]:.2f}" for name, curve in accuracy.items())
    print(f"after {(step + 1) * dt_ms:.0f} ms: {line}")

# %% What it costs
# `count` runs the model and counts what really ran; `energy` multiplies by constants with a
# source. It is modelled, never measured, and says on which assumptions.
from spikefuse.cost import count, energy

batch = next(batches(data, "test", data.fixed_pairs["test"], 32))
both = models["both"]
counts = count(both, spiking_inputs(batch.samples, both.modalities, dt_ms, n_steps))
for name, path in counts.by_path.items():
    if path.effective_acs:
        print(f"{name}: {path.effective_acs / counts.n_samples:.0f} accumulates a sample")
for profile in ("horowitz_45nm_int8", "loihi1_davies2018"):
    estimate = energy(counts, profile)
    print(f"{profile}: {estimate.dynamic_pj / 1e6:.3g} uJ a sample, dynamic, modelled")
print("on these assumptions:", *estimate.assumptions, sep="\n- ")

# %% A picture
# Events, fused layer and evidence of one sample on one time axis. `spikefuse demo` makes this and
# eleven more, trains the dense twin as well, and puts all of it into one report.
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

one = spiking_inputs(batch.samples[:1], both.modalities, dt_ms, n_steps)
out = both.infer(one)
figure, axes = plt.subplots(3, 1, sharex=True, figsize=(7, 6), layout="constrained")
for axis, name in zip(axes, both.modalities, strict=False):
    events = batch.samples[0][name].events
    address = events["x"] + events["y"] * data.sensor_sizes[name][0]
    axis.plot(events["t"] / 1e3, address, "|", markersize=3)
    axis.set_ylabel(f"{name}, address")
evidence = running_mean(out.scores)[:, 0]
label = int(batch.labels[0])
for digit in sorted(range(10), key=lambda digit: digit == label):  # the true one on top
    shown = {"color": "C3", "label": f"{digit}, shown and said"} if digit == label else {}
    times_ms = [dt_ms * (i + 1) for i in range(n_steps)]
    axes[-1].plot(times_ms, evidence[:, digit], **{"color": "0.7", **shown})
axes[-1].legend()
axes[-1].set(xlabel="time (ms)", ylabel="evidence for each digit")
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "sample.png", dpi=120)
print(f"picture: {folder / 'sample.png'}")
