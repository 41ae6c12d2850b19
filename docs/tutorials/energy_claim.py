"""Reproduce an energy claim, and take it apart.

"Our spiking network needs N times less energy": in most papers that is operations times 0.9 pJ
against operations times 4.6 pJ. We take a run of this package, make that claim from its counts,
and then add what it leaves out, one item after the other, until we arrive at the run's own
figure to the last digit. Then we ask how sure it is.

    python docs/tutorials/energy_claim.py [RUN]

Without RUN, a small spiking network and its dense twin are trained first (about a minute).
"""

# %% A run
import json
import os
import subprocess
import sys
from pathlib import Path

small = "SPIKEFUSE_SMALL" in os.environ
run = Path(sys.argv[1] if len(sys.argv) > 1 else "energy_claim")
if not (run / "result.json").is_file():
    settings = ["models=['snn','dense']", "data.digits.n_train=300", "train.epochs=10"]
    settings += ["train.dense_epochs=15"]
    if small:
        settings = [settings[0], "data.digits.n_train=60", "data.digits.n_test=40", "data.dt_ms=40"]
        settings += ["data.digits.n_validation=20", "train.epochs=2", "train.dense_epochs=2"]
    command = [sys.executable, "-m", "experiments", "train", "--config", "demo", "--out", str(run)]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True)
result = json.loads((run / "result.json").read_text())

# %% What ran
# A run keeps whole numbers: every operation of every layer, over all test samples. They are all
# that is needed; nothing is trained or run again below.
from spikefuse import OpCounts
from spikefuse.cost.stored import counts_of

snn, dense = (counts_of(result["models"][name]["counts"]["exact"]) for name in ("snn", "dense"))
for title, counts in (("SNN", snn), ("dense twin", dense)):
    print(f"{title}, mean of {counts.n_samples} samples:")
    for name, path in counts.by_path.items():
        n = path.effective_acs / counts.n_samples, path.effective_macs / counts.n_samples
        print(f"    {name}: {n[0]:.0f} accumulates, {n[1]:.0f} multiply-accumulates")

# %% The claim
# An accumulate is an addition, a multiply-accumulate an addition and a multiplication. The values
# are those of Horowitz (ISSCC 2014) for 32-bit floats in 45 nm; the profile says where they stand.
from spikefuse.cost import load_profile

profile = load_profile("horowitz_45nm_fp32")
e_ac = profile.value("e_add")
e_mac = profile.value("e_add") + profile.value("e_mul")
print(f"{e_ac:g} pJ an accumulate, {e_mac:g} pJ a multiply-accumulate")
print("from", profile.constants["e_add"].source)


def network_only(counts: OpCounts) -> tuple[float, float]:
    """Accumulates and multiply-accumulates of the network, without front ends, a sample."""
    own = [p for name, p in counts.by_path.items() if not name.startswith("frontend")]
    n = counts.n_samples
    return sum(p.effective_acs for p in own) / n, sum(p.dense_macs for p in own) / n


claim_snn = network_only(snn)[0] * e_ac
claim_dense = network_only(dense)[1] * e_mac
print(f"the claim: {claim_dense / claim_snn:.2f} times less energy")

# %% What it leaves out
# The same constants, now for everything that ran: zeros that the dense twin skips as well, updates
# of membranes, weights and states that are read and written, front ends, and at last the sensors.
from spikefuse.cost.bill import bill_of

bills = {"SNN": bill_of(snn, profile), "dense": bill_of(dense, profile)}
parts = [
    ("accumulates and multiply-accumulates that ran", ("accumulate", "multiply_accumulate"), False),
    ("+ updates of neurons", ("neuron_update",), False),
    ("+ weights read", ("weight_memory",), False),
    ("+ states and activations read and written", ("state_memory",), False),
    ("+ spikes sent", ("spike_routing",), False),
    ("+ front ends: cochlea, framing", None, True),
]
total = dict.fromkeys(bills, 0.0)
for title, actions, front in parts:
    for name, bill in bills.items():
        for charge in bill.charges:
            is_front = charge.path.startswith("frontend")
            if is_front == front and (actions is None or charge.action in actions):
                total[name] += charge.amount * profile.value(charge.constant)
    line = " / ".join(f"{name} {value / 1e6:.3f} uJ" for name, value in total.items())
    print(f"{title}: {line}, dense / SNN {total['dense'] / total['SNN']:.2f}")

# This is the run's own figure: our sums by hand and the package's agree.
for name, key in (("SNN", "snn"), ("dense", "dense")):
    priced = result["models"][key]["energy"][profile.name]
    assert abs(total[name] - priced["dynamic_pj"]) < 1e-9 * priced["dynamic_pj"]
sensors = {
    key: result["models"][key]["energy"][profile.name]["with_sensors_pj"]
    for key in ("snn", "dense")
}
print(f"+ the sensors' own power: dense / SNN {sensors['dense'] / sensors['snn']:.3f}")

# %% How sure
# Constants are uncertain. Draw all of them from their ranges, for both systems alike, and look at
# the ratio; then ask how few spikes a neuron may fire for the networks to need the same.
from spikefuse.cost.break_even import break_even
from spikefuse.cost.ranges import ratio_range

found = ratio_range(bills["SNN"], bills["dense"])
print(
    f"dense / SNN {found.nominal:.2f}, 95 % of the draws in [{found.low:.2f}, {found.high:.2f}]; "
    f"the SNN needs less in {100 * found.share_snn_wins:.0f} % of them"
)
turn = break_even(snn, bills["SNN"], total["dense"])
if turn.spikes is None:
    print(f"break-even: {turn.verdict}")
else:
    print(
        f"equal at {turn.spikes:.2f} spikes a neuron and sample; this network fires "
        f"{turn.measured:.2f}"
    )

# %% The other chips
# `spikefuse compare RUN --profile NAME` prints this for any profile, or for a TOML file of yours;
# `docs/energy.md` has every equation.
from spikefuse.cost import energy, list_profiles

for name in list_profiles():
    chip = load_profile(name)
    if chip.prices == "sensor":
        continue
    ours, theirs = (energy(c, name, frontend_profile="horowitz_45nm_int8") for c in (snn, dense))
    shown = "no price" if ours.dynamic_pj is None else f"{ours.dynamic_pj / 1e6:.3g} uJ"
    other = "no price" if theirs.dynamic_pj is None else f"{theirs.dynamic_pj / 1e6:.3g} uJ"
    print(f"{name}: SNN {shown}, dense twin {other}")
