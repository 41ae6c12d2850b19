"""JointEmbedding: its equation, causality, state, absence and counts."""

import pytest
import torch
from torch import Tensor

from spikefuse.kernels.traces import trace_scan
from spikefuse.neurons import LIFParams
from spikefuse.objectives.embedding import JointEmbedding, UnitVector
from spikefuse.spikes import SpikeBatch

N_IN = {"vision": 7, "audio": 4}
DELAYS = (0.0, 4.0, 10.0)


def built(hidden: int = 0, delays_ms: tuple[float, ...] = DELAYS) -> JointEmbedding:
    torch.manual_seed(0)
    return JointEmbedding(
        N_IN, 5, dt_ms=2.0, tau_ms=30.0, delays_ms=delays_ms, hidden=hidden, lif=LIFParams()
    ).eval()


def spikes(n_steps: int = 20, density: float = 0.3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: (torch.rand(n_steps, 3, n, generator=generator) < density).float()
        for name, n in N_IN.items()
    }


@torch.no_grad()
def test_it_is_the_weighted_trace_of_the_spikes() -> None:
    """The other order of the equation: traces of the spikes first, then one product per step."""
    model, x = built(delays_ms=(0.0, 4.0)), spikes()
    vectors, _ = model(x, anytime=True)
    for name in N_IN:
        head = model.heads[name]
        beta = torch.sigmoid(head.trace.beta_logit[0])
        trace, _ = trace_scan(x[name], beta)
        late = torch.cat([torch.zeros_like(trace[:2]), trace[:-2]])
        weight = head.synapses.synapses.weight
        expected = trace @ weight[:, :5] + late @ weight[:, 5:]
        torch.testing.assert_close(
            vectors[name], torch.nn.functional.normalize(expected, dim=-1), rtol=1e-4, atol=1e-5
        )


@torch.no_grad()
@pytest.mark.parametrize("hidden", [0, 6])
def test_the_vectors_at_the_end_are_the_last_of_all(hidden: int) -> None:
    model, x = built(hidden), spikes()
    (last, state), (every, same) = model(x), model(x, anytime=True)
    for name in N_IN:
        assert last[name].shape == (3, 5)
        torch.testing.assert_close(last[name], every[name][-1], rtol=0, atol=0)
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


def test_operations_are_those_counted_by_hand() -> None:
    model, x = built(), spikes()
    n_vision = int(x["vision"].sum())
    counts = model.count_operations(x)
    synapses = counts.by_path["heads.vision.synapses.synapses"]
    assert synapses.effective_acs == n_vision * 3 * 5  # delays times dimensions
    assert synapses.modality == "vision"
    assert counts.by_path["heads.vision.synapses.pending"].state_reads == (
        n_vision * 2 * 5 + 20 * 3 * 5
    )
    assert counts.by_path["heads.audio.trace"].state_reads == 20 * 3 * 5
    assert counts.by_path["units.vision"].effective_macs == 2 * 3 * 5
    anytime = model.count_operations(x, anytime=True).by_path["units.vision"]
    awake = int((x["vision"].any(2).cumsum(0) > 0).sum())
    assert anytime.effective_macs == 2 * awake * 5
    assert sum(p.modality == "shared" for p in counts.by_path.values()) == 0


def test_half_of_the_events_cost_half_of_the_accumulates() -> None:
    model, x = built(), spikes(40)
    keep = torch.rand(x["vision"].shape, generator=torch.Generator().manual_seed(5)) < 0.5
    thinned = {**x, "vision": x["vision"] * keep}
    share = float(thinned["vision"].sum() / x["vision"].sum())
    full, half = (model.count_operations(s).by_path for s in (x, thinned))
    path = "heads.vision.synapses.synapses"
    assert half[path].effective_acs == pytest.approx(share * full[path].effective_acs)
    assert half["heads.audio.synapses.synapses"] == full["heads.audio.synapses.synapses"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_in": {}}, r"n_in must give one or more modalities .*got \{\}"),
        ({"dim": 0}, "dim must be >= 1, got 0"),
        ({"hidden": -1}, "hidden must be >= 0, got -1"),
        ({"tau_ms": 0.0}, "tau_ms must be positive and finite, got 0.0"),
        ({"delays_ms": (0.5,)}, "delays_ms must be whole steps of dt_ms=1, got 0.5 ms"),
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
