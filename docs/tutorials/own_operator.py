"""Add a fusion operator.

An operator takes the spikes of every modality to the spikes of one fused population. This script
takes `surround.SurroundFusion`, in the file beside it, through the questions that an operator of
this package has to answer, and then trains with it:

    python docs/tutorials/own_operator.py [FOLDER for the run]
"""

# %% The operator
# It is one class, a subclass of `FusionOperator`: layers in ``__init__``, options as keywords, and
# a `forward` that takes spikes and state and returns spikes and state. Read `surround.py` now.
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch.nn.functional import softplus

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))
from surround import SurroundFusion

from spikefuse.neurons import LIFParams

small = "SPIKEFUSE_SMALL" in os.environ
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "own_operator").resolve()
sizes = {"vision": 5, "audio": 3}

# %% Is it right? A closed form.
# One audio event in step 0, neurons that never fire and share one time constant: the membrane is
# the weight after step 0; it decays, and the inhibition comes, in step 1.
silent = LIFParams(tau_mem_ms=20.0, tau_spread=1.0, threshold=1e9)
torch.manual_seed(0)
operator = SurroundFusion(sizes, 4, dt_ms=1.0, lif=silent, level=0.5)
spikes = {"vision": torch.zeros(2, 1, 5), "audio": torch.zeros(2, 1, 3)}
spikes["audio"][0, 0, 2] = 1
_, state = operator(spikes)
drive = operator.drive["audio"].weight[2]
hold = softplus(operator.hold["audio"].weight[2])
decay = torch.exp(torch.tensor(-1.0 / 20.0))
torch.testing.assert_close(state["hidden"][0], decay * drive - hold)
print("one event: drive, then inhibition")

# %% Is state a value? Chunks.
# A sequence in two parts, state handed on, gives the spikes of the whole: what streaming and
# training in chunks rest on.
torch.manual_seed(1)
operator = SurroundFusion(sizes, 4, level=-1.0)
spikes = {name: (torch.rand(30, 2, n) < 0.2).float() for name, n in sizes.items()}
whole, _ = operator(spikes)
first, state = operator({name: x[:11] for name, x in spikes.items()})
rest, _ = operator({name: x[11:] for name, x in spikes.items()}, state)
assert torch.equal(whole, torch.cat([first, rest]))
assert whole.sum() > 0
print(f"chunks equal the whole: {int(whole.sum())} spikes")

# %% Is it causal? Nothing before a change of the input may change.
changed = {name: x.clone() for name, x in spikes.items()}
changed["vision"][20] = 1 - changed["vision"][20]
assert torch.equal(operator(changed)[0][:20], whole[:20])

# %% Does an absent modality cost nothing, and are counts what a hand would count?
# A spike that drives also inhibits, but for the last step's: twice the events times n_out.
counts = operator.count_operations(spikes)
hand = 4 * sum(int(x.sum() + x[:-1].sum()) for x in spikes.values())
assert sum(path.effective_acs for path in counts.by_path.values()) == hand
empty = operator.count_operations(spikes | {"audio": torch.zeros(30, 2, 3)})
assert all(p.effective_acs == 0 for p in empty.by_path.values() if p.modality == "audio")
print(f"{hand} accumulates, as counted by hand; an absent modality costs none")

# %% Do gradients arrive at every weight?
operator(spikes)[0].sum().backward()
assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in operator.parameters())

# %% Training
# On the command line the operator has the name MODULE:CLASS; the module is looked for in the
# current folder. Everything else is as with an operator of ours: dense twin, counts, report,
# `spikefuse stress`, `--resume`. Compare with `concat` before you believe in it.
tiny = ["data.digits.n_train=60", "data.digits.n_validation=20", "data.digits.n_test=40"]
settings = ["model.fusion=surround:SurroundFusion", "models=['snn']"]
if small:
    settings += [*tiny, "train.epochs=2", "data.dt_ms=40"]
command = [sys.executable, "-m", "experiments", "train", "--config", "demo", "--out", str(folder)]
for setting in settings:
    command += ["--set", setting]
print("$ spikefuse", *command[3:])
subprocess.run(command, cwd=here, check=True)
