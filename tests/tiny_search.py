"""A search over the embedded default at the size of a test: thirty runs take about two minutes.

``spikefuse sweep --config demo --set ... --search space.toml --trials 30 --out FOLDER`` with these
makes the run directories ``FOLDER/trial-0000`` to ``FOLDER/trial-0029``.
"""

TINY = [
    "data.digits.n_train=40",
    "data.digits.n_validation=20",
    "data.digits.n_test=20",
    "model.vision.convs=[]",
    "model.vision.hidden=8",
    "model.audio.hidden=8",
    "data.dt_ms=50.0",
    "models=snn",
    "train.epochs=1",
    "train.threads=1",
    "cost.latency_repeats=1",
    "cost.profiles=horowitz_45nm_int8",
]
SPACE = """
[search]
objectives = ["accuracy", "energy", "latency"]

[space]
model.fusion_hidden = { low = 4, high = 32, log = true }
train.learning_rate = { low = 1e-3, high = 1e-1, log = true }
model.fusion = ["concat", "late"]
"""
