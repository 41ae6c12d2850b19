"""What a reader is told of each figure of the gallery, in the order of the page."""

from __future__ import annotations

RECORDINGS = {
    "digit_events": "A picture, and its events as our pixel model and a real camera saw them.",
    "event_frames": "The same recording as frames of counted events, and as time surfaces: each "
    "pixel remembers when it last saw an event, and forgets.",
    "cochleagram": "A spoken digit as the cochlea hears it: drive of each place, at its frequency.",
    "word_cochleas": "The same word's waveform, cochleagram and the spikes of three cochleas.",
    "corruptions": "Recordings whole and damaged, as the stress suite damages them.",
}
RUNS = {
    "raster": "One test sample on one clock: events of every modality, spikes of its encoder, the "
    "fused layer and the evidence; the dashed line is the decision, arrows are learned delays.",
    "spikes": "One layer alone, with its rate above.",
    "membranes": "Membranes of the most active fused neurons and of the readout, same sample.",
    "activity": "Rates of rows, and intervals between spikes of one row, same sample.",
    "delays": "Delays before and after training; with windows also their widths, and each window "
    "over the lag. Dashed: the lag in the data, where it is known; a run need not find it.",
    "confusion": "Which classes are taken for which, each model, all seeds.",
    "anytime": "Accuracy of the answer given after each time.",
    "exits": "Accuracy if each sample is answered as soon as the model is sure.",
    "latency_cdf": "Share of samples whose answer is there, from stimulus onset, compute included.",
    "calibration": "Stated against found confidence, and risk when only the surest are answered.",
    "energy": "Modelled energy by part of the model.",
    "energy_actions": "The same energy by what it is spent on.",
    "energy_totals": "What static power and sensors add.",
    "break_even": "Energy over activity: where a spiking model stops being the cheaper one.",
    "tornado": "How far each constant moves the comparison, from end to end of its range.",
    "pareto": "Accuracy against the energy until the answer.",
    "duty": "Mean power of an always-on system over how often it answers.",
    "stress_noise": "Accuracy over noise of each kind; the models are frozen.",
    "stress_offset": "Accuracy over misalignment and drift of clocks.",
    "stress_gain": "d' of all modalities together and of each alone, over lost events.",
}
