"""Your own event data, your own network, your own chip.

Recordings of yours as event files, an snnTorch network that knows nothing of this package, and a
chip that is described by a file of ten lines: what does the network cost there?

    python docs/tutorials/your_own.py [FOLDER]

FOLDER is filled with recordings (made up here, so that the script runs anywhere) and with the
chip's file.
"""

# %% Recordings
# Any array of times and addresses becomes an `EventStream`: times in whole microseconds from the
# onset. `EventStream.from_structured` reads arrays of other libraries, `read_events` the files of
# cameras (.raw of Prophesee, .aedat4, .bin of N-MNIST, .npz, .h5). Here two classes of made-up
# recordings are written, read back and kept in memory: drops that fall, drops that rise.
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sensors.files import read_events, write_events
from spikefuse import EVENT_DTYPE, EventStream, bin_events

small = "SPIKEFUSE_SMALL" in os.environ
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "your_own")
size = (16, 16, 2)  # columns, rows, polarities


def drop(rises: bool, rng: np.random.Generator) -> EventStream:
    """Events along a vertical path of 100 ms, and background."""
    n = 200
    t = np.sort(rng.integers(0, 100_000, n))
    path = t * 16 // 100_000
    events = np.zeros(n, EVENT_DTYPE)
    events["t"], events["p"] = t, rng.random(n) < 0.5
    events["x"] = rng.integers(6, 10, n)
    events["y"] = path if rises else 15 - path
    noise = rng.random(n) < 0.4
    events["x"][noise], events["y"][noise] = rng.integers(0, 16, (2, int(noise.sum())))
    return EventStream(events, size, 100_000, "vision")


rng = np.random.default_rng(0)
n_each = 20 if small else 100
for rises in (False, True):
    (folder / str(int(rises))).mkdir(parents=True, exist_ok=True)
    for i in range(n_each):
        write_events(folder / str(int(rises)) / f"{i:03d}.npz", drop(rises, rng))

paths = sorted(folder.glob("[01]/*.npz"))
streams = [read_events(path) for path in paths]
labels = torch.tensor([int(path.parent.name) for path in paths])
print(f"{len(streams)} recordings, the first with {len(streams[0])} events")

# A file that is cut in the middle is one error that names it, not half a recording.
cut = folder / "cut.npz"
cut.write_bytes(paths[0].read_bytes()[:200])
try:
    read_events(cut)
except ValueError as error:
    print(f"refused: {error}")
cut.unlink()

# %% Steps
# From events to what a network with a clock reads: 20 steps of 5 ms.
events = bin_events(streams, dt_ms=5, n_steps=20)
spikes = events.to_dense()  # [T, B, N], counts
print(f"{tuple(spikes.shape)}: {100 * events.density:.1f} % of the entries are not zero")

# %% A network of another library
import snntorch


class Net(nn.Module):
    """Two layers of snnTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(512, 32), snntorch.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(32, 2), snntorch.Leaky(beta=0.9)

    def forward(self, x: Tensor) -> Tensor:
        """Membranes of the output, ``[T, B, 2]``, of ``x[T, B, N]``."""
        first, second = self.lif1.init_leaky(), self.lif2.init_leaky()
        membranes = []
        for step in x:
            fired, first = self.lif1(self.fc1(step), first)
            _, second = self.lif2(self.fc2(fired), second)
            membranes.append(second)
        return torch.stack(membranes)


torch.manual_seed(0)
net = Net()
held_out = torch.arange(len(labels)) % 4 == 0
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
for _ in range(5 if small else 40):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(spikes[:, ~held_out]).sum(0), labels[~held_out]).backward()
    optimizer.step()
with torch.no_grad():
    right = net(spikes[:, held_out]).sum(0).argmax(1) == labels[held_out]
print(f"{float(right.float().mean()):.2f} of {int(held_out.sum())} held-out recordings right")

# %% Counted
# The network is run and watched; nothing is estimated from rates. What has no rule would be an
# error that names it. The sum over time is taken outside the network, by whoever reads the answer:
# inside, it would be counted as work of the chip, and an event-driven chip has no price for a sum
# that runs at every step. On the command line: spikefuse count MODULE:NET --data FILE.
from spikefuse.cost import count

counts = count(net, spikes[:, held_out], batch_dim=1)
for name, path in counts.by_path.items():
    ran, dense = path.effective_acs / counts.n_samples, path.dense_macs / counts.n_samples
    updates = (path.neuron_updates_active + path.neuron_updates_idle) / counts.n_samples
    if updates:
        print(f"{name}: {updates:.0f} updates of neurons")
    else:
        print(f"{name}: {ran:.0f} accumulates, {dense:.0f} products if it were dense")

# %% Your own chip
# A profile is a file. Every constant needs its unit, where it comes from and how it was seen; the
# loader refuses one without. What you leave out is "not priced", never zero.
CHIP = """
[profile]
name = "my_chip"
title = "A chip of mine, post-layout simulation"
prices = "event"
basis = "own simulation"
word_bits = 8
state_bits = 16
notes = "Made up for this tutorial."

[constants.e_synop]
value = 5.0
low = 3.0
high = 8.0
unit = "pJ"
source = "my thesis"
locator = "Table 4.2"
seen = "primary"
kind = "average"
"""
from spikefuse.cost import energy, load_profile

chip_file = folder / "my_chip.toml"
chip_file.write_text(CHIP)
chip = load_profile(chip_file)
mine, loihi = energy(counts, chip), energy(counts, "loihi1_davies2018")
for estimate in (mine, loihi):
    if estimate.dynamic_range_pj is None:
        print(f"{estimate.profile}: no price, because {estimate.reason}")
        continue
    low, high = estimate.dynamic_range_pj
    nj = f"{estimate.dynamic_pj / 1e3:.3g} nJ a recording [{low / 1e3:.3g}, {high / 1e3:.3g}]"
    print(f"{estimate.profile}: {nj}, modelled")

chip_file.write_text(CHIP.replace('source = "my thesis"\n', ""))
try:
    load_profile(chip_file)
except ValueError as error:
    print(f"refused: {error}")
chip_file.write_text(CHIP)
