"""StreamRunner: clocks, refusals, snapshots, counts, hooks."""

from pathlib import Path

import norse.torch as norse
import numpy as np
import pytest
import torch
from torch import nn

from spikefuse.cost import count, energy
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.errors import DataError, EventError
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.interop.encoders import wrap_norse
from spikefuse.kernels.binning import bin_events
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.runtime import Decision, StreamRunner
from spikefuse.runtime.snapshot import read_snapshot, write_snapshot

SIZES = {"vision": (6, 5, 2), "audio": (20, 1, 1)}
STEP_US = 5_000


def model_of(
    fusion: str = "concat", *, foreign: bool = False, recurrent: bool = False
) -> FusionSNN:
    torch.manual_seed(1)
    encoder = EncoderSpec((), 16, 0.0, (0.0, 10.0), recurrent=recurrent)
    parts = tuple(ModalitySpec(name, size, encoder) for name, size in SIZES.items())
    given = {}
    if foreign:
        net = norse.SequentialState(nn.Linear(20, 16, bias=False), norse.LIFCell())
        given["audio"] = wrap_norse(net, 20, 16)
    return FusionSNN(ModelSpec(parts, 3, 5.0, fusion, 12), given).eval()


def events_of(name: str, times_us: list[int] | np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    width, height, polarities = SIZES[name]
    events = np.zeros(len(times_us), EVENT_DTYPE)
    events["t"] = times_us
    events["x"] = rng.integers(0, width, len(events))
    events["y"] = rng.integers(0, height, len(events))
    events["p"] = rng.integers(0, 2, len(events)) if polarities > 1 else 1
    return events


def busy(name: str, until_us: int = 200_000, n: int = 1200) -> np.ndarray:
    rng = np.random.default_rng(len(name))
    return events_of(name, np.sort(rng.integers(0, until_us, n)))


def test_a_step_waits_for_the_slowest_clock() -> None:
    runner = StreamRunner(model_of())
    assert runner.push("vision", events_of("vision", [100, 12_000])) == []
    assert runner.n_waiting == 2
    assert runner.advance("audio", 4_999) == []
    assert [d.step for d in runner.advance("audio", 11_000)] == [0, 1]
    assert runner.n_waiting == 1
    assert [d.step for d in runner.finish()] == [2]


def test_an_event_on_the_border_belongs_to_the_step_that_begins_there() -> None:
    for engine in ("stepped", "event"):
        runner = StreamRunner(model_of(), engine)
        runner.advance("audio", 20_000)
        assert [d.step for d in runner.push("vision", events_of("vision", [STEP_US]))] == [0]
        assert [d.step for d in runner.finish()] == [1, 2, 3]


@pytest.mark.parametrize("engine", ["stepped", "event"])
def test_nothing_is_taken_of_a_push_that_is_refused(engine: str) -> None:
    runner = StreamRunner(model_of(), engine, capacity=3)
    runner.push("vision", events_of("vision", [7_000, 8_000]))
    before = runner.n_events, runner.n_waiting, runner.clocks_us
    for events, told in (
        (events_of("vision", [7_999]), "its clock, which stands at 8000 us, got one at 7999 us"),
        (events_of("vision", [9_000, 9_001]), "slowest clock is that of 'audio', at 0 us"),
        (events_of("vision", [9_000, 8_500]), "never decrease"),
        (events_of("audio", [9_000]), "'x' must lie in"),
        (events_of("vision", [9_000_000_000]), "must not jump by more than 3.6e"),
    ):
        events["x"] += 50 * ("'x'" in told)
        with pytest.raises(EventError, match=told):
            runner.push("vision", events)
    with pytest.raises(ValueError, match=r"modality must be one of .* got 'touch'"):
        runner.push("touch", events_of("vision", [1]))
    with pytest.raises(ValueError, match="events must be an EventStream"):
        runner.push("vision", np.zeros(3))
    other = EventStream.empty((3, 3, 1), 10, "vision")
    with pytest.raises(EventError, match="sensor_size of 'vision' must be"):
        runner.push("vision", other)
    assert (runner.n_events, runner.n_waiting, runner.clocks_us) == before


def test_a_stream_that_is_finished_takes_no_more() -> None:
    runner = StreamRunner(model_of())
    assert runner.finish() == []
    with pytest.raises(ValueError, match="finished"):
        runner.advance("vision", 10)


def test_arguments_out_of_range_are_named() -> None:
    for options, told in (
        ({"every_ms": 7.0}, "every_ms must be whole steps of 5 ms"),
        ({"evidence": "sum"}, "evidence must be"),
        ({"engine": "fast"}, "engine must be"),
        ({"counts": "some"}, "counts must be"),
        ({"capacity": 0}, "capacity must be"),
        ({"block_steps": 0}, "block_steps must be"),
        ({"jump_ms": 0.0}, "jump_ms must be"),
    ):
        with pytest.raises(ValueError, match=told):
            StreamRunner(model_of(), **options)


def test_a_model_that_trains_is_refused_and_a_clock_that_leaps() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        StreamRunner(model_of().train())
    runner = StreamRunner(model_of(), jump_ms=1e3)
    runner.advance("vision", 900_000)
    runner.advance("audio", 1_800_000)
    with pytest.raises(EventError, match=r"'vision' must not jump by more than 1000 ms"):
        runner.advance("vision", 2_900_000)
    with pytest.raises(EventError, match="must not jump"):
        runner.push("audio", events_of("audio", [1_700_000_000_000_000]))
    assert runner.clocks_us == {"vision": 900_000, "audio": 1_800_000}


def test_a_pushed_array_stays_the_callers() -> None:
    runner = StreamRunner(model_of(), "event")
    events = busy("vision")
    copy = events.copy()
    runner.push("vision", events)
    runner.finish()
    events["t"] += 1  # still writable
    assert np.array_equal(events["t"], copy["t"] + 1)


CASES = [
    ("stepped", "concat", {}),
    ("stepped", "energy_gate", {}),
    ("stepped", "coincidence", {}),
    ("stepped", "latent", {"recurrent": True}),
    ("stepped", "late", {"foreign": True}),
    ("event", "cross_synapse", {}),
    ("event", "late", {"recurrent": True}),
]


@pytest.mark.parametrize(("engine", "fusion", "options"), CASES)
def test_a_killed_stream_goes_on_from_its_snapshot(
    engine: str, fusion: str, options: dict[str, bool], tmp_path: Path
) -> None:
    model, pushes = model_of(fusion, **options), []
    for name in SIZES:
        events = busy(name)
        pushes += [(int(part["t"][0]), name, part) for part in np.array_split(events, 17)]
    pushes.sort(key=lambda push: push[0])
    whole = StreamRunner(model, engine)
    expected = [d for _, name, part in pushes for d in whole.push(name, part)] + whole.finish()
    runner, found = StreamRunner(model, engine), []
    for k, (_, name, part) in enumerate(pushes):
        if k in (1, 20):
            runner.snapshot(tmp_path / "at")
            runner.push(name, part)  # lost with the process that dies here
            runner = StreamRunner.restore(tmp_path / "at", model_of(fusion, **options))
        found += runner.push(name, part)
    found += runner.finish()
    assert [d.step for d in found] == list(range(40)) == [d.step for d in expected]
    assert all(np.array_equal(a.evidence, b.evidence) for a, b in zip(found, expected, strict=True))
    assert runner.n_events == whole.n_events
    assert runner.n_decisions == 40


def test_a_snapshot_of_another_model_or_of_nothing_is_refused(tmp_path: Path) -> None:
    runner = StreamRunner(model_of())
    runner.push("vision", busy("vision"))
    runner.snapshot(tmp_path / "at")
    other = model_of()
    nn.init.zeros_(other.readout_synapse.weight)
    with pytest.raises(DataError, match="this model"):
        StreamRunner.restore(tmp_path / "at", other)
    (tmp_path / "half").write_bytes((tmp_path / "at").read_bytes()[:100])
    with pytest.raises(DataError, match="safetensors"):
        StreamRunner.restore(tmp_path / "half", model_of())
    tensors, plain = read_snapshot(tmp_path / "at")
    whole = plain["runner"]["state"]
    for missing in ("clocks", "engine", "evidence", "step"):
        part = plain["runner"] | {"state": {k: x for k, x in whole.items() if k != missing}}
        write_snapshot(tmp_path / "part", tensors, plain | {"runner": part})
        with pytest.raises(DataError, match=f"all of a runner.*{missing}"):
            StreamRunner.restore(tmp_path / "part", model_of())
    outside = tensors["runner.waiting.vision"].clone()
    outside.numpy().view(EVENT_DTYPE)["x"] = 6
    write_snapshot(tmp_path / "part", tensors | {"runner.waiting.vision": outside}, plain)
    with pytest.raises(DataError, match=r"events that wait.*\(6, 5, 2\)"):
        StreamRunner.restore(tmp_path / "part", model_of())
    del tensors["runner.waiting.audio"]
    write_snapshot(tmp_path / "part", tensors, plain)
    with pytest.raises(DataError, match=r"waiting\.audio"):
        StreamRunner.restore(tmp_path / "part", model_of())
    with pytest.raises(DataError, match="must be a file"):
        StreamRunner.restore(tmp_path / "none", model_of())


@pytest.mark.parametrize("fusion", ["concat", "energy_gate", "late"])
def test_counts_of_a_stream_are_those_of_the_batch(fusion: str, tmp_path: Path) -> None:
    model = model_of(fusion)
    given = {name: EventStream(busy(name), size, 200_000, name) for name, size in SIZES.items()}
    inputs = {name: bin_events([stream], 5.0) for name, stream in given.items()}
    expected = count(model, inputs)
    runner = StreamRunner(model, count=True)
    with pytest.raises(ValueError, match="count=True"):
        runner.counts()
    for k in range(10):
        for name, stream in given.items():
            part = stream.events[k * 120 : (k + 1) * 120]
            runner.push(name, part)
        if k == 5:
            runner.snapshot(tmp_path / "at")
            runner = StreamRunner.restore(tmp_path / "at", model)
    runner.finish()
    assert runner.n_steps == 40
    assert runner.counts().totals == expected.totals
    priced = runner.energy("loihi1_davies2018").dynamic_pj
    assert priced == energy(expected, "loihi1_davies2018").dynamic_pj


@pytest.mark.parametrize("fusion", ["early", "concat", "late", "latent", "cross_synapse"])
def test_the_event_engine_counts_the_messages_of_the_batch_and_fewer_updates(fusion: str) -> None:
    model = model_of(fusion, recurrent=fusion == "concat")
    given = {k: EventStream(busy(k, 60_000), size, 200_000, k) for k, size in SIZES.items()}
    expected = count(model, {name: bin_events([stream], 5.0) for name, stream in given.items()})
    runner = StreamRunner(model, "event")
    for name, stream in given.items():
        runner.push(name, stream)
    runner.finish(200_000)
    found = runner.counts()
    assert set(found.by_path) == set(expected.by_path)
    for name, path in expected.by_path.items():
        ours = found.by_path[name]
        for field in ("effective_acs", "spikes_routed", "spikes_fired", "weight_reads"):
            # What a recurrent layer fired in the last step has not come back yet.
            under_way = 0 if not name.endswith(".recurrent") else 64 * 64
            assert 0 <= getattr(ours, field) - getattr(path, field) <= under_way, (name, field)
        assert ours.dense_macs == path.dense_macs, name
        assert (ours.modality, ours.weight_words) == (path.modality, path.weight_words), name
        assert ours.state_reads <= path.state_reads, name
    assert 0 < found.neuron_updates_active < expected.neuron_updates_active
    assert runner.energy("loihi1_davies2018").dynamic_pj > 0


def test_a_policy_restarts_the_model_after_a_decision_and_no_event_is_lost() -> None:
    class Every:
        def restart(self, decision: Decision) -> bool:
            return decision.step == 19

    seen: list[int] = []
    for engine in ("stepped", "event"):
        model = model_of()
        runner = StreamRunner(
            model, engine, policy=Every(), on_decision=lambda d: seen.append(d.step)
        )
        found = runner.advance("audio", 200_000) + runner.push("vision", busy("vision"))
        found += runner.finish()
        late = busy("vision")
        late = late[late["t"] >= 100_000]
        late["t"] -= 100_000
        fresh = StreamRunner(model, engine)
        fresh.advance("audio", 100_000)
        expected = fresh.push("vision", late) + fresh.finish()
        assert [d.n_steps for d in found] == [*range(1, 21), *range(1, 21)]
        for a, b in zip(found[20:], expected, strict=True):
            np.testing.assert_allclose(a.evidence, b.evidence, rtol=1e-5, atol=1e-6)
    assert seen == [*range(40), *range(40)]


def test_long_silence_runs_in_blocks_and_loses_no_step() -> None:
    for engine in ("stepped", "event"):
        runner = StreamRunner(model_of(), engine, block_steps=7, every_ms=50.0)
        runner.push("vision", busy("vision"))
        found = runner.finish(2_000_000)
        assert [d.step for d in found] == list(range(9, 400, 10))
        assert runner.n_waiting == 0


def test_a_large_push_is_worked_off_without_being_kept_alive() -> None:
    runner = StreamRunner(model_of(), block_steps=1)
    runner.push("vision", busy("vision", 2_000_000, 4_000))
    for k in range(1, 400):
        runner.advance("audio", k * STEP_US)
        waiting = runner._front.waiting("vision")
        held = waiting.nbytes if waiting.base is None else waiting.base.nbytes
        assert held <= 2 * max(waiting.nbytes, 1) or not len(waiting)
    assert runner.n_steps == 399
