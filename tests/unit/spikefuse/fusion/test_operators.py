"""What every fusion operator owes: causality, absence, state, gradients, counts."""

import copy

import pytest
import torch
from torch import Tensor

from spikefuse.cost.count import count
from spikefuse.fusion import OPERATORS, FusionOperator, build
from spikefuse.kernels.registry import use_backend
from spikefuse.spikes import SpikeBatch

SIZES = {"vision": 40, "audio": 24, "touch": 15}
N_OUT = 20


def operator_of(name: str, modalities: int = 2, **options) -> FusionOperator:
    torch.manual_seed(5)
    sizes = dict(list(SIZES.items())[:modalities])
    return build(name, sizes, N_OUT, dt_ms=5.0, **options).eval()


def spikes_of(
    modalities: int = 2, n_steps: int = 30, n_batch: int = 3, density: float = 0.2, seed: int = 1
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = list(SIZES.items())[:modalities]
    return {
        name: (torch.rand(n_steps, n_batch, n, generator=generator) < density).float()
        for name, n in sizes
    }


def events_of(spikes: dict[str, Tensor]) -> dict[str, SpikeBatch]:
    return {name: SpikeBatch.from_dense(x) for name, x in spikes.items()}


def dense(out: SpikeBatch | Tensor) -> Tensor:
    return out.to_dense() if isinstance(out, SpikeBatch) else out


def assert_same(found: Tensor, expected: Tensor, operator: FusionOperator) -> None:
    """Spikes bit for bit; scores within rounding."""
    if operator.spiking:
        assert torch.equal(found, expected)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(params=list(OPERATORS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("modalities", [2, 3])
def test_output_and_state_are_values(name: str, modalities: int) -> None:
    operator, spikes = operator_of(name, modalities), spikes_of(modalities)
    out, state = operator(spikes)
    assert out.shape == (30, 3, N_OUT)
    assert all(isinstance(part, Tensor) for part in state.values())
    again, _ = operator(spikes)  # nothing is kept in the module
    assert torch.equal(out, again)
    if operator.spiking:
        assert set(out.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("density", [0.1, 0.3])
@pytest.mark.parametrize("dt_ms", [1.0, 10.0])
def test_output_at_first_is_neither_silent_nor_saturated(
    name: str, density: float, dt_ms: float
) -> None:
    torch.manual_seed(0)
    operator = build(name, {"vision": 256, "audio": 128}, 64, dt_ms=dt_ms)
    if not operator.spiking:
        pytest.skip("scores have no rate")
    generator = torch.Generator().manual_seed(3)
    spikes = {
        k: (torch.rand(60, 4, n, generator=generator) < density).float()
        for k, n in operator.n_in.items()
    }
    rate = float(operator(spikes)[0].detach().mean())
    assert 0.01 < rate < 0.6


def test_later_input_changes_nothing_before(name: str) -> None:
    operator, spikes = operator_of(name), spikes_of()
    for edited in SIZES:
        if edited not in spikes:
            continue
        changed = dict(spikes)
        changed[edited] = spikes[edited].clone()
        changed[edited][17:] = 1 - changed[edited][17:]
        before, after = operator(spikes)[0], operator(changed)[0]
        torch.testing.assert_close(before[:17], after[:17], rtol=1e-6, atol=1e-6)
        assert not torch.equal(before[17:], after[17:])


def test_chunks_with_state_equal_the_whole(name: str) -> None:
    operator, spikes = operator_of(name, 3), spikes_of(3)
    with torch.no_grad():
        whole, last = operator(spikes)
        state, parts, inferred_state, inferred = None, [], None, []
        for first, end in ((0, 1), (1, 8), (8, 30)):
            chunk = {k: x[first:end] for k, x in spikes.items()}
            out, state = operator(chunk, state)
            parts.append(out)
            out, inferred_state = operator.infer(events_of(chunk), inferred_state)
            inferred.append(dense(out))
    for pieces, after in ((parts, state), (inferred, inferred_state)):
        assert_same(torch.cat(pieces), whole, operator)
        assert set(after) == set(last)
        for key, value in after.items():
            torch.testing.assert_close(value, last[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize(("n_steps", "n_batch"), [(30, 3), (1, 1), (9, 1), (1, 4)])
def test_events_dense_and_inference_agree(
    name: str, n_steps: int, n_batch: int, graded: bool
) -> None:
    operator, spikes = operator_of(name, 3), spikes_of(3, n_steps, n_batch)
    if graded:
        generator = torch.Generator().manual_seed(2)
        spikes = {
            k: x * torch.randint(1, 4, x.shape, generator=generator) for k, x in spikes.items()
        }
    # With the event kernels named, all of them add in the same order: not one bit may differ.
    with torch.no_grad(), use_backend("numba"):
        from_dense, _ = operator(spikes)
        from_events, _ = operator(events_of(spikes))
        inferred, _ = operator.infer(events_of(spikes))
    assert_same(from_events, from_dense, operator)
    assert_same(dense(inferred), from_dense, operator)
    assert not dense(inferred).requires_grad


def test_an_absent_modality_costs_nothing_and_changes_no_other(name: str) -> None:
    operator, spikes = operator_of(name), spikes_of()
    spikes["audio"] = torch.zeros_like(spikes["audio"])
    counts = operator.count_operations(spikes)
    own = {k: p for k, p in counts.by_path.items() if p.modality == "audio"}
    assert own, "no path of its own"
    for path, counted in own.items():
        worked = (
            counted.effective_acs,
            counted.effective_macs,
            counted.spikes_routed,
            counted.weight_reads,
            counted.neuron_updates_active,
        )
        assert worked == (0,) * 5, path
    out, _ = operator(spikes)
    assert out.any()
    with pytest.raises(ValueError, match="an absent modality is an empty stream"):
        operator({"vision": spikes["vision"]})


def test_silence_stays_silent(name: str) -> None:
    operator, spikes = operator_of(name), spikes_of(density=0.0)
    out, _ = operator.infer(events_of(spikes))
    silent = dense(out)
    assert torch.equal(silent, silent[..., :1].expand_as(silent))
    totals = operator.count_operations(spikes).totals
    assert totals["effective_acs"] == totals["spikes_routed"] == totals["effective_macs"] == 0
    assert totals["neuron_updates_active"] == 0
    if operator.spiking:
        assert not silent.any()


def test_gradients_equal_float64_autograd_of_the_reference(name: str) -> None:
    operator, spikes = operator_of(name, 3).train(), spikes_of(3, n_steps=20)
    exact = copy.deepcopy(operator).double()
    weights = torch.rand(20, 3, N_OUT, generator=torch.Generator().manual_seed(8))
    grads = []
    for module, dtype in ((operator, torch.float32), (exact, torch.float64)):
        inputs = {k: x.clone().to(dtype).requires_grad_() for k, x in spikes.items()}
        out, _ = module(inputs)
        (out * weights.to(dtype)).sum().backward()
        grads.append({k: x.grad for k, x in inputs.items()})
        grads[-1] |= {k: p.grad for k, p in module.named_parameters()}
        last = out.detach()
        if dtype == torch.float32:
            first = last
    assert torch.equal(first, last.float()) or not operator.spiking  # the same spikes in both
    for key, expected in grads[1].items():
        assert expected is not None, key
        scale = float(expected.abs().max())
        assert scale > 0, key
        error = float((grads[0][key].double() - expected).abs().max())
        assert error <= 1e-5 * scale, (key, error / scale)


def test_counts_of_a_path_follow_its_own_events(name: str) -> None:
    # Gates that never shut: otherwise thinning changes what they let through as well.
    options = {"open_bias": 50.0} if name == "energy_gate" else {}
    operator = operator_of(name, 3, **options)
    spikes = spikes_of(3, n_steps=40, density=0.3)
    generator = torch.Generator().manual_seed(4)
    thinned = dict(spikes)
    keep = torch.rand(spikes["audio"].shape, generator=generator) < 0.5
    thinned["audio"] = spikes["audio"] * keep
    whole = operator.count_operations(spikes).by_path
    half = operator.count_operations(thinned).by_path
    before, after = int(spikes["audio"].sum()), int(thinned["audio"].sum())
    direct = [k for k, p in whole.items() if p.spikes_routed == before]
    assert direct
    for path in direct:
        assert half[path].spikes_routed == after
        assert half[path].effective_acs * before == whole[path].effective_acs * after
    for path, counted in whole.items():
        if counted.spikes_routed == int(spikes["vision"].sum()):
            assert half[path] == counted  # another modality pays as before


def test_counts_of_events_and_of_dense_spikes_agree(name: str) -> None:
    operator, spikes = operator_of(name, 3), spikes_of(3)
    with use_backend("numba"):
        found = operator.count_operations(events_of(spikes))
        expected = operator.count_operations(spikes)
    assert found == expected == count(operator, spikes)
    assert found.n_samples == 3


def test_input_that_does_not_fit_is_refused(name: str) -> None:
    operator, spikes = operator_of(name), spikes_of()
    with pytest.raises(ValueError, match=r"spikes\['audio'\] must be of shape \(30, 3, 24\), got"):
        operator(spikes | {"audio": spikes["audio"][1:]})
    with pytest.raises(ValueError, match=r"spikes\['vision'\] must be of shape"):
        operator.infer(events_of(spikes | {"vision": spikes["vision"][..., 1:]}))
    with pytest.raises(ValueError, match=r"n_in must give .* got \{'vision': 0"):
        build(name, {"vision": 0, "audio": 3}, 4)
    with pytest.raises(ValueError, match="n_out must be at least 1, got 0"):
        build(name, {"vision": 2, "audio": 3}, 0)
    with pytest.raises(ValueError, match="dt_ms must be positive, got 0"):
        build(name, {"vision": 2, "audio": 3}, 4, dt_ms=0.0)
    with pytest.raises(ValueError, match=rf"options of {name!r} must be among .* got 'gian'"):
        build(name, {"vision": 2, "audio": 3}, 4, gian=1.0)


def test_unknown_operators_are_refused_with_a_hint() -> None:
    with pytest.raises(
        ValueError, match=r"fusion must be one of \[.*\] or MODULE:CLASS, got 'concatt'; did you"
    ):
        build("concatt", {"vision": 2}, 4)
