"""A stream gives what the batch path gives, however it is cut, on either engine."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.encoders.protocol import infer_encoder
from spikefuse.errors import ConfigError
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.fusion import OPERATORS
from spikefuse.kernels.binning import bin_events
from spikefuse.models import FusionSNN, ModelSpec, fixed_point, running_mean
from spikefuse.neurons import ALIF, LIF, ALIFParams, CubaLIF, CubaLIFParams, LIFParams
from spikefuse.runtime import Decision, EventEngine, StreamRunner
from spikefuse.synapses import DelayedLinear, EventLinear

SIZES = {"vision": (9, 7, 2), "audio": (30, 1, 1)}
DT_MS, DURATION_US = 5.0, 150_000
BY_EVENTS = ("early", "concat", "late", "current_sum", "cross_residual", "latent", "cross_synapse")
Streams = Mapping[str, EventStream]


class Chain(nn.Module):
    """Delayed synapses onto neurons of any kind, then linear ones onto LIF neurons."""

    def __init__(self, n_in: int, neurons: nn.Module) -> None:
        super().__init__()
        self.n_out = 18
        self.synapses = nn.ModuleList(
            [DelayedLinear(n_in, 20, (0, 4), gain=2.0), EventLinear(20, 18, gain=3.0)]
        )
        self.neurons = nn.ModuleList([neurons, LIF(18, LIFParams(), DT_MS)])

    def forward(self, spikes, state=None):
        first, second, pending = (None, None, None) if state is None else state
        current, pending = self.synapses[0](spikes, pending)
        hidden, first = self.neurons[0](current, first)
        out, second = self.neurons[1](self.synapses[1](hidden), second)
        return out, (first, second, pending)


def model_of(fusion: str = "concat", *, recurrent: bool = False, seed: int = 2) -> FusionSNN:
    """Convolution before vision; delays in both encoders."""
    torch.manual_seed(seed)
    convs = {"vision": (ConvSpec(4, (3, 3), (2, 2)),), "audio": ()}
    parts = tuple(
        ModalitySpec(
            name, size, EncoderSpec(convs[name], 20, 0.0, (0.0, 15.0), recurrent=recurrent)
        )
        for name, size in SIZES.items()
    )
    return FusionSNN(ModelSpec(parts, 4, DT_MS, fusion, 24)).eval()


def chained(neurons: nn.Module) -> FusionSNN:
    torch.manual_seed(4)
    part = ModalitySpec("audio", SIZES["audio"], EncoderSpec((), 20))
    spec = ModelSpec((part,), 4, DT_MS, "concat", 24)
    return FusionSNN(spec, {"audio": Chain(30, neurons)}).eval()


def streams_of(seed: int, n: int = 900) -> dict[str, EventStream]:
    rng = np.random.default_rng(seed)
    found = {}
    for name, (width, height, polarities) in SIZES.items():
        events = np.zeros(n, EVENT_DTYPE)
        # Bursts and silence, so that some populations are left alone for a while.
        bursts = rng.integers(0, DURATION_US - 9_000, 8)
        events["t"] = np.sort(rng.choice(bursts, n) + rng.integers(0, 9_000, n))
        events["x"], events["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
        events["p"] = rng.integers(0, 2, n) if polarities > 1 else 1
        found[name] = EventStream(events, (width, height, polarities), DURATION_US, name)
    return found


def batch_scores(model: FusionSNN, streams: Streams, counts: str = "keep") -> np.ndarray:
    inputs = {k: bin_events([s], model.spec.dt_ms, counts=counts) for k, s in streams.items()}
    return model.infer(inputs).scores[:, 0].numpy()


def streamed(
    model: FusionSNN, streams: Streams, engine: str, cuts: np.random.Generator, most: int, **options
) -> list[Decision]:
    """Pushed in chunks of random length from a random modality, and finished."""
    runner = StreamRunner(model, engine, **{"evidence": "score", **options})
    place = dict.fromkeys(streams, 0)
    found: list[Decision] = []
    while open_ones := [k for k, s in streams.items() if place[k] < len(s)]:
        name = cuts.choice(open_ones)
        n = int(cuts.integers(1, most + 1))
        found += runner.push(name, streams[name].events[place[name] : place[name] + n])
        place[name] += n
    return found + runner.finish(DURATION_US)


def scores(decisions: list[Decision]) -> np.ndarray:
    return np.array([d.evidence for d in decisions])


@pytest.mark.parametrize("fusion", list(OPERATORS))
@given(seed=st.integers(0, 2**16), most=st.sampled_from([1, 3, 40, 2000]))
@settings(max_examples=4, deadline=None)
def test_stepped_stream_is_the_batch_bit_for_bit(fusion: str, seed: int, most: int) -> None:
    model, streams = model_of(fusion), streams_of(seed, 250)
    expected = batch_scores(model, streams)
    found = streamed(model, streams, "stepped", np.random.default_rng(seed), most)
    assert np.array_equal(scores(found), expected)


@pytest.mark.parametrize("fusion", BY_EVENTS)
@given(seed=st.integers(0, 2**16), most=st.sampled_from([1, 3, 40, 2000]))
@settings(max_examples=8, deadline=None)
def test_event_engine_gives_the_scores_of_the_batch(fusion: str, seed: int, most: int) -> None:
    model, streams = model_of(fusion), streams_of(seed)
    expected = batch_scores(model, streams)
    found = streamed(model, streams, "event", np.random.default_rng(seed), most)
    np.testing.assert_allclose(scores(found), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ["stepped", "event"])
@given(seed=st.integers(0, 2**16), most=st.sampled_from([1, 3, 40, 2000]))
@settings(max_examples=4, deadline=None)
def test_recurrent_encoders_stream_as_they_batch(engine: str, seed: int, most: int) -> None:
    model, streams = model_of(recurrent=True), streams_of(seed, 250)
    found = streamed(model, streams, engine, np.random.default_rng(seed), most)
    if engine == "stepped":
        assert np.array_equal(scores(found), batch_scores(model, streams))
    np.testing.assert_allclose(scores(found), batch_scores(model, streams), rtol=1e-5, atol=1e-5)


def test_a_whole_number_twin_streams_as_it_batches() -> None:
    model, streams = fixed_point(model_of()), streams_of(4)
    expected = batch_scores(model, streams)
    found = streamed(model, streams, "stepped", np.random.default_rng(0), 50)
    assert np.array_equal(scores(found), expected)
    with pytest.raises(ConfigError, match="FixedLIF"):
        StreamRunner(model, "event")


def neurons_of(kind: str, reset: str) -> nn.Module:
    if kind == "cuba":
        slow = CubaLIFParams(tau_mem_ms=30.0, tau_syn_ms=25.0, tau_spread=2.0, reset=reset)
        return CubaLIF(20, slow, DT_MS)
    if kind == "recurrent cuba":
        return CubaLIF(20, CubaLIFParams(reset=reset), DT_MS, recurrent=True)
    if kind == "alif":
        return ALIF(20, ALIFParams(tau_adapt_ms=40.0, kappa=0.5, reset=reset), DT_MS)
    return LIF(20, LIFParams(reset=reset), DT_MS)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("kind", ["lif", "cuba", "recurrent cuba", "alif"])
@given(seed=st.integers(0, 2**16))
@settings(max_examples=5, deadline=None)
def test_neurons_that_fire_between_events_are_not_missed(kind: str, reset: str, seed: int) -> None:
    model = chained(neurons_of(kind, reset))
    stream = streams_of(seed, 120)["audio"]
    inputs = bin_events([stream], DT_MS)
    encoder = model.encoders["audio"]
    with torch.no_grad():
        hidden, _ = encoder.neurons[0](encoder.synapses[0](inputs)[0])
    out, _ = infer_encoder(encoder, inputs, None)
    engine = EventEngine(model, record=True)
    events = stream.events.copy()
    events["t"] //= round(DT_MS * 1e3)
    engine.run(0, len(hidden), {"audio": events})
    assert np.array_equal(engine.spikes("encoders.audio.neurons.0"), hidden[:, 0].numpy())
    assert np.array_equal(engine.spikes("encoders.audio.neurons.1"), out.to_dense()[:, 0].numpy())


@pytest.mark.parametrize("kind", ["lif", "cuba", "recurrent cuba", "alif"])
@given(seed=st.integers(0, 2**16), most=st.sampled_from([1, 3, 40]))
@settings(max_examples=4, deadline=None)
def test_neurons_of_any_kind_stream_as_they_batch(kind: str, seed: int, most: int) -> None:
    model = chained(neurons_of(kind, "subtract"))
    streams = {"audio": streams_of(seed, 120)["audio"]}
    expected = batch_scores(model, streams)
    assert expected.any()
    found = streamed(model, streams, "stepped", np.random.default_rng(seed), most)
    assert np.array_equal(scores(found), expected)
    found = streamed(model, streams, "event", np.random.default_rng(seed), most)
    np.testing.assert_allclose(scores(found), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ["stepped", "event"])
def test_repeated_addresses_count_once_where_the_model_clips(engine: str) -> None:
    model, streams = model_of(), streams_of(5)
    found = streamed(model, streams, engine, np.random.default_rng(1), 30, counts="clip")
    expected = batch_scores(model, streams, "clip")
    assert not np.allclose(expected, batch_scores(model, streams))
    np.testing.assert_allclose(scores(found), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ["stepped", "event"])
def test_decisions_are_the_running_mean_of_the_batch(engine: str) -> None:
    model, streams = model_of(), streams_of(6)
    found = streamed(
        model, streams, engine, np.random.default_rng(1), 30, evidence="mean", every_ms=25.0
    )
    mean = running_mean(torch.from_numpy(batch_scores(model, streams))[:, None])[4::5, 0].numpy()
    np.testing.assert_allclose(scores(found), mean, rtol=1e-5, atol=1e-5)
    assert [d.time_us for d in found] == [25_000 * (k + 1) for k in range(6)]
    assert [d.label for d in found] == list(mean.argmax(1))


@pytest.mark.parametrize("fusion", sorted(set(OPERATORS) - set(BY_EVENTS)))
def test_operators_of_whole_steps_name_the_stepped_engine(fusion: str) -> None:
    with pytest.raises(ConfigError, match=f"{fusion}.*stepped engine"):
        StreamRunner(model_of(fusion), "event")


def test_encoders_of_another_make_name_the_stepped_engine() -> None:
    class Other(nn.Module):
        n_out = 20

        def forward(self, spikes, state=None):
            return spikes, state

    part = ModalitySpec("audio", SIZES["audio"], EncoderSpec((), 20))
    model = FusionSNN(ModelSpec((part,), 4, DT_MS), {"audio": Other()}).eval()
    with pytest.raises(ConfigError, match=r"audio.*Other.*stepped"):
        StreamRunner(model, "event")


def test_steps_of_a_fraction_of_a_microsecond_stay_on_the_clock() -> None:
    torch.manual_seed(0)
    parts = tuple(ModalitySpec(k, s, EncoderSpec((), 12)) for k, s in SIZES.items())
    model, streams = FusionSNN(ModelSpec(parts, 4, 100 / 30)).eval(), streams_of(7)
    expected = batch_scores(model, streams)
    for engine in ("stepped", "event"):
        found = streamed(model, streams, engine, np.random.default_rng(2), 20)
        np.testing.assert_allclose(scores(found), expected, rtol=1e-5, atol=1e-5)
