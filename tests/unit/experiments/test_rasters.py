"""What a run records of one sample: spikes of all layers, membranes, learned delays."""

import numpy as np
import pytest
import torch
from tiny_run import learner_of, tiny

from experiments.evaluation.rasters import learned_delays, raster_of
from experiments.loading.data import load_data
from spikefuse.errors import ConfigError


def test_recorded_membranes_obey_the_neuron_s_equation() -> None:
    config = tiny("model.fusion=coincidence", "model.lif.reset=subtract")
    data = load_data(config.data)
    learner = learner_of(config, data)
    learner.model.eval()
    raster = raster_of(learner, data, 0, 0)
    assert raster["modalities"].tolist() == ["vision", "audio"]
    shown = raster["trace_neuron"]
    step = np.rint(raster["hidden_t_ms"] / raster["dt_ms"] - 0.5).astype(int)
    spikes = np.zeros((learner.n_steps, raster["n_hidden"]), bool)
    spikes[step, raster["hidden_neuron"]] = True
    np.testing.assert_array_equal(raster["trace_spiked"], spikes[:, shown])
    # Below threshold after a silent step, and at most what is left after a reset.
    silent = raster["trace_v"][~raster["trace_spiked"]]
    assert (silent <= raster["trace_threshold"]).all()
    with torch.no_grad():
        scores = learner.model(learner.inputs([_sample(data)])).scores[:, 0]
    np.testing.assert_allclose(raster["readout_v"], scores, rtol=1e-5, atol=1e-5)


def test_delays_are_kept_before_and_after_training() -> None:
    config = tiny("model.fusion=coincidence", "model.fusion_options.units=4")
    data = load_data(config.data)
    learner = learner_of(config, data)
    with torch.no_grad():
        learner.model.fusion.windows["vision>audio"].delay.fill_(1e-3)
    kept = learned_delays({("snn", 0): learner}, config, data)
    assert len(kept) == 8  # two pairs, delay and width, before and after
    assert kept["snn.seed0.delay_start_ms.vision>audio"].std() > 1.0
    assert kept["snn.seed0.delay_end_ms.vision>audio"].std() == 0.0
    plain = tiny()
    assert learned_delays({("snn", 0): learner_of(plain, data)}, plain, data) == {}


def test_options_of_an_operator_may_be_lists() -> None:
    options = ("width_ms=[8.0, 32.0]", 'pairs=["vision>audio"]', "units=64")
    config = tiny("model.fusion=coincidence", *(f"model.fusion_options.{o}" for o in options))
    fusion = learner_of(config, load_data(config.data)).model.fusion
    assert list(fusion.windows) == ["vision>audio"]
    widths = fusion.widths_ms()["vision>audio"]
    assert 8.0 <= float(widths.min()) < 12.0
    assert 24.0 < float(widths.max()) <= 32.0
    wrong = tiny("model.fusion=coincidence", "model.fusion_options.width_ms=[8.0]")
    with pytest.raises(ConfigError, match="model of snn cannot be built: width_ms must be two"):
        learner_of(wrong, load_data(wrong.data))


def _sample(data):
    from experiments.loading.batches import batches

    return next(batches(data, "test", [data.fixed_pairs["test"][0]], 1)).samples[0]
