"""JointEmbedding: its equation, causality, state, absence and counts."""

import math

import pytest
import torch
from torch import Tensor

from spikefuse.kernels.traces import trace_scan_ref
from spikefuse.objectives.embedding import JointEmbedding, UnitVector
from spikefuse.spikes import SpikeBatch

N_IN = {"vision": 7, "audio": 4}
DELAYS = (0.0, 4.0, 10.0)


def built(hidden: int = 0, delays_ms: tuple[float, ...] = DELAYS) -> JointEmbedding:
    torch.manual_seed(0)
    return JointEmbedding(N_IN, 5, dt_ms=2.0, tau_ms=30.0, delays_ms=delays_ms, hidden=hidden)


def spikes(n_steps: int = 20, density: float = 0.3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: (torch.rand(n_steps, 3, n, generator=generator) < density).float()
        for name, n in N_IN.items()
    }


@torch.no_grad()
@pytest.mark.parametrize("hidden", [0, 6])
def test_it_is_the_weighted_traces_now_and_before(hidden: int) -> None:
    model, x = built(hidden, delays_ms=(0.0, 4.0)), spikes()
    vectors, _ = model(x, anytime=True)
    for name in N_IN:
        head = model.heads[name]
        trace, _ = trace_scan_ref(x[name], math.exp(-2 / 30))
        late = torch.cat([torch.zeros_like(trace[:2]), trace[:-2]])
        read = torch.cat([trace, late], dim=2)
        if hidden:
            read = (read @ head.hidden.weight - 1).clamp(min=0)
        expected = torch.nn.functional.normalize(read @ head.synapses.weight, dim=-1)
        torch.testing.assert_close(vectors[name], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_only_delays_tell_when_spikes_came() -> None:
    """With a long trace, an early and a late spike differ in length alone, which is scaled away."""
    early, late = torch.zeros(20, 1, 7), torch.zeros(20, 1, 7)
    early[4, :, 2] = late[16, :, 2] = 1.0
    cosines = []
    for delays_ms in ((0.0,), (0.0, 12.0, 24.0)):
        model = built(delays_ms=delays_ms)
        read = [model({**spikes(), "vision": x})[0]["vision"][0] for x in (early, late)]
        cosines.append(float(read[0] @ read[1]))
    assert cosines[0] == pytest.approx(1.0)
    assert cosines[1] < 0.9


@torch.no_grad()
@pytest.mark.parametrize("hidden", [0, 6])
def test_the_vectors_at_the_end_are_the_last_of_all(hidden: int) -> None:
    model, x = built(hidden), spikes()
    (last, state), (every, same) = model(x), model(x, anytime=True)
    for name in N_IN:
        assert last[name].shape == (3, 5)
        torch.testing.assert_close(last[name], every[name][-1], rtol=1e-5, atol=1e-6)
        length = every[name][-1].norm(dim=-1)
        torch.testing.assert_close(length, torch.ones_like(length))
    assert state.keys() == same.keys()


@torch.no_grad()
@pytest.mark.parametrize("hidden", [0, 6])
def test_chunks_give_the_vectors_of_the_whole(hidden: int) -> None:
    model, x = built(hidden), spikes()
    whole, end = model(x, anytime=True)
    state, parts = None, []
    for start, stop in ((0, 3), (3, 4), (4, 20)):
        part, state = model({n: s[start:stop] for n, s in x.items()}, state, anytime=True)
        parts.append(part)
    for name in N_IN:
        joined = torch.cat([part[name] for part in parts])
        torch.testing.assert_close(joined, whole[name], rtol=1e-5, atol=1e-6)
    for key, value in end.items():
        torch.testing.assert_close(state[key], value, rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("hidden", [0, 6])
def test_later_spikes_change_no_earlier_vector(hidden: int) -> None:
    model, x = built(hidden), spikes()
    before, _ = model(x, anytime=True)
    edited = {name: s.clone() for name, s in x.items()}
    for s in edited.values():
        s[12:] = 1 - s[12:]
    after, _ = model(edited, anytime=True)
    for name in N_IN:
        torch.testing.assert_close(after[name][:12], before[name][:12], rtol=0, atol=1e-7)
        assert not torch.equal(after[name][12:], before[name][12:])


@torch.no_grad()
def test_events_and_dense_spikes_give_the_same_vectors() -> None:
    model, x = built(), spikes()
    dense, _ = model(x)
    events, _ = model({name: SpikeBatch.from_dense(s) for name, s in x.items()})
    for name in N_IN:
        torch.testing.assert_close(events[name], dense[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hidden", [0, 6])
def test_a_silent_modality_has_the_zero_vector_and_finite_gradients(hidden: int) -> None:
    model, x = built(hidden), spikes()
    x["audio"] = torch.zeros_like(x["audio"])
    vectors, _ = model(x)
    assert not vectors["audio"].any()
    torch.autograd.backward((vectors["vision"] * (1 + vectors["audio"])).sum())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(g.isfinite().all()) for g in gradients)


def test_one_modality_never_moves_the_other() -> None:
    model, x = built(), spikes()
    alone = {**x, "audio": torch.zeros_like(x["audio"])}
    torch.testing.assert_close(model(alone)[0]["vision"], model(x)[0]["vision"], rtol=0, atol=0)


def test_a_unit_vectors_gradient_has_no_part_along_it() -> None:
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    assert torch.autograd.gradcheck(UnitVector(), (x,))
    torch.autograd.backward(UnitVector()(x)[:, 0].sum())
    assert x.grad is not None
    torch.testing.assert_close((x.grad * x).sum(1), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("hidden", [0, 6])
def test_operations_are_those_counted_by_hand(hidden: int) -> None:
    model, x = built(hidden), {name: s * 0.5 for name, s in spikes().items()}  # graded traces
    x["vision"] *= 2
    counts = model.count_operations(x).by_path
    n_vision = int(x["vision"].sum())
    assert counts["heads.vision.trace.input"].effective_acs == n_vision
    assert counts["heads.vision.trace"].state_writes == 20 * 3 * 7
    assert counts["heads.vision.trace"].modality == "vision"
    taps = counts["heads.vision.taps"]
    assert taps.state_writes == 20 * 3 * 7
    assert taps.state_reads == 3 * 3 * 7  # samples, taps, addresses
    assert taps.state_words == 5 * 7
    assert counts["heads.audio.unit"].effective_macs == 2 * 3 * 5
    with torch.no_grad():
        trace, _ = model.heads["audio"].trace(x["audio"])
        read, _ = model.heads["audio"].taps(trace)
    first = counts["heads.audio.hidden" if hidden else "heads.audio.synapses"]
    assert first.effective_macs == int(read.ne(0).sum()) * (hidden or 5)
    assert first.weight_words == 4 * 3 * (hidden or 5)
    assert {path.modality for path in counts.values()} == {"vision", "audio"}


def test_reading_every_step_costs_a_product_every_step() -> None:
    model, x = built(delays_ms=(0.0,)), spikes()
    once, always = model.count_operations(x), model.count_operations(x, anytime=True)
    awake = int((x["vision"].any(2).cumsum(0) > 0).sum())
    assert once.by_path["heads.vision.unit"].effective_macs == 2 * 3 * 5
    assert always.by_path["heads.vision.unit"].effective_macs == 2 * awake * 5
    synapses = "heads.vision.synapses"
    assert always.by_path[synapses].dense_macs == 20 * once.by_path[synapses].dense_macs
    assert once.by_path["heads.vision.taps"].state_writes == 0  # nothing to keep without a delay


def test_half_of_the_events_cost_half_of_the_accumulates() -> None:
    model, x = built(), spikes(40)
    keep = torch.rand(x["vision"].shape, generator=torch.Generator().manual_seed(5)) < 0.5
    thinned = {**x, "vision": x["vision"] * keep}
    share = float(thinned["vision"].sum() / x["vision"].sum())
    full, half = (model.count_operations(s).by_path for s in (x, thinned))
    path = "heads.vision.trace.input"
    assert half[path].effective_acs == pytest.approx(share * full[path].effective_acs)
    assert half["heads.audio.trace.input"] == full["heads.audio.trace.input"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_in": {}}, r"n_in must give one or more modalities .*got \{\}"),
        ({"dim": 0}, "dim must be >= 1, got 0"),
        ({"hidden": -1}, "hidden must be >= 0, got -1"),
        ({"tau_ms": 0.0}, "tau_ms must be positive and finite, got 0.0"),
        ({"dt_ms": 0.0}, "dt_ms must be positive, got 0.0"),
        ({"delays_ms": (0.5,)}, "delays_ms must be whole steps of 1 ms, got 0.5"),
        ({"delays_ms": (3.0, 3.0)}, r"delays_steps must be .*distinct steps >= 0, got \(3, 3\)"),
    ],
)
def test_what_cannot_be_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        JointEmbedding(**{"n_in": N_IN, "dim": 3, **options})


def test_a_missing_modality_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"spikes must hold \['vision', 'audio'\], got \['audio'\]"
    ):
        built()({"audio": spikes()["audio"]})
