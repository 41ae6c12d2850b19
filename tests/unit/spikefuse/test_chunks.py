"""Long sequences in chunks: the plain gradient by recomputing, a reference loop's by truncating."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.fusion import OPERATORS
from spikefuse.models import FusionSNN, FusionState, ModelSpec, forward_in_chunks, running_mean
from spikefuse.models.fixed_point import AwareSNN
from spikefuse.spikes import SpikeBatch

SIZES = {"vision": 50, "audio": 30}
N_STEPS = 22


def model_of(name: str, dropout: float = 0.0, recurrent: bool = False) -> FusionSNN:
    torch.manual_seed(2)
    encoder = EncoderSpec((), 24, dropout, delays_ms=(0.0, 15.0), recurrent=recurrent)
    parts = tuple(ModalitySpec(m, (n, 1, 1), encoder) for m, n in SIZES.items())
    return FusionSNN(ModelSpec(parts, 4, 5.0, name, 20)).train()


def inputs(n_steps: int = N_STEPS) -> dict[str, SpikeBatch]:
    generator = torch.Generator().manual_seed(6)
    return {
        m: SpikeBatch.from_dense((torch.rand(n_steps, 3, n, generator=generator) < 0.2).float())
        for m, n in SIZES.items()
    }


def gradients(model: torch.nn.Module, scores: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Of a loss that reads every step through their mean."""
    model.zero_grad()
    torch.manual_seed(5)
    loss = torch.nn.functional.cross_entropy(running_mean(scores())[-1], torch.tensor([0, 1, 2]))
    torch.autograd.backward(loss)
    return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6 * max(scale, 1e-3))


@pytest.mark.parametrize("name", list(OPERATORS))
@pytest.mark.parametrize("length", [5, 1])
def test_recomputed_chunks_give_the_plain_gradient(name: str, length: int) -> None:
    model, x = model_of(name), inputs()
    plain = gradients(model, lambda: model(x).scores)
    assert_close(gradients(model, lambda: forward_in_chunks(model, x, length).scores), plain)


@pytest.mark.parametrize("recurrent", [False, True])
def test_dropout_silences_the_same_neurons_in_every_chunk(recurrent: bool) -> None:
    model, x = model_of("concat", dropout=0.5, recurrent=recurrent), inputs()
    plain = gradients(model, lambda: model(x).scores)
    assert_close(gradients(model, lambda: forward_in_chunks(model, x, 4).scores), plain)


def test_outputs_and_state_are_those_of_one_pass() -> None:
    model, x = model_of("concat"), inputs()
    whole, found = model(x), forward_in_chunks(model, x, 6)
    torch.testing.assert_close(found.scores, whole.scores)
    assert torch.equal(found.hidden, whole.hidden)
    assert all(torch.equal(found.encoded[m], whole.encoded[m]) for m in SIZES)
    torch.testing.assert_close(found.state.readout, whole.state.readout)


@pytest.mark.parametrize("length", [0, 6])
def test_spikes_that_are_not_wanted_are_seen_once_and_dropped(length: int) -> None:
    model, x = model_of("concat"), inputs()
    whole, seen = model(x), []
    found = forward_in_chunks(
        model, x, length, watch=lambda out: seen.append(out.hidden), keep_spikes=False
    )
    assert torch.equal(torch.cat(seen), whole.hidden)
    torch.testing.assert_close(found.scores, whole.scores)
    assert found.hidden.shape == (0, 3, 20)
    assert [x.shape for x in found.encoded.values()] == [(0, 3, 24)] * 2


@pytest.mark.parametrize("name", ["concat", "late", "energy_gate", "coincidence"])
@pytest.mark.parametrize("checkpoint_steps", [0, 2])
def test_truncated_gradients_are_those_of_a_loop_that_detaches(
    name: str, checkpoint_steps: int
) -> None:
    model, x = model_of(name), inputs()

    def loop() -> Tensor:
        state, scores = None, []
        for first in range(0, N_STEPS, 8):
            part = {m: s.to_dense()[first : first + 8] for m, s in x.items()}
            out = model(part, state)
            scores.append(out.scores)
            state = FusionState(
                {m: [v.detach() for v in s] for m, s in out.state.encoders.items()},
                {k: v.detach() for k, v in out.state.fusion.items()},
                None if out.state.readout is None else out.state.readout.detach(),
            )
        return torch.cat(scores)

    reference = gradients(model, loop)
    found = gradients(model, lambda: forward_in_chunks(model, x, checkpoint_steps, 8).scores)
    assert_close(found, reference)
    plain = gradients(model, lambda: model(x).scores)
    assert any(not torch.allclose(found[k], g, rtol=1e-3) for k, g in plain.items())


def test_states_in_whole_numbers_carry_no_gradient_so_chunks_truncate_it() -> None:
    model, x = AwareSNN(model_of("concat")), inputs()
    with pytest.raises(ValueError, match="checkpoint_steps must be 0"):
        forward_in_chunks(model, x, 5)
    with torch.no_grad():
        whole = model(x).scores
    assert torch.equal(forward_in_chunks(model, x, tbptt_steps=5).scores, whole)
    assert all(
        bool(g.isfinite().all())
        for g in gradients(
            model, lambda: forward_in_chunks(model, x, tbptt_steps=5).scores
        ).values()
    )


@pytest.mark.parametrize(("every", "cut"), [(-1, 0), (0, -2), (4, 6)])
def test_lengths_that_do_not_fit_are_refused(every: int, cut: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        forward_in_chunks(model_of("concat"), inputs(), every, cut)
