"""Every figure: one look, vector and picture, and what is drawn as a table beside them."""

from analysis.figures.activity import draw_activity
from analysis.figures.calibration import draw_calibration
from analysis.figures.cochleagram import draw_cochleagram
from analysis.figures.confusion import draw_confusion
from analysis.figures.delays import LearnedTiming, draw_delays
from analysis.figures.duty import draw_duty
from analysis.figures.energy import draw_energy, draw_energy_actions, draw_energy_totals
from analysis.figures.events import draw_event_frames, time_surface
from analysis.figures.headline import Curve, draw_headline
from analysis.figures.latency import draw_exits, draw_latency, draw_latency_cdf
from analysis.figures.membranes import draw_membranes
from analysis.figures.pareto import draw_pareto
from analysis.figures.ranges import draw_break_even, draw_tornado
from analysis.figures.raster import RasterPicture, SpikeRows, draw_raster, draw_spikes
from analysis.figures.runs import draw_anytime, make_figures
from analysis.figures.scene import ScenePicture, draw_scene
from analysis.figures.sensors import draw_cochleas, draw_corruptions, draw_digit
from analysis.figures.stress import draw_stress
from analysis.figures.style import house_style, new_figure, save_figure
from analysis.figures.sweep import draw_sweep

__all__ = [
    "Curve",
    "LearnedTiming",
    "RasterPicture",
    "ScenePicture",
    "SpikeRows",
    "draw_activity",
    "draw_anytime",
    "draw_break_even",
    "draw_calibration",
    "draw_cochleagram",
    "draw_cochleas",
    "draw_confusion",
    "draw_corruptions",
    "draw_delays",
    "draw_digit",
    "draw_duty",
    "draw_energy",
    "draw_energy_actions",
    "draw_energy_totals",
    "draw_event_frames",
    "draw_exits",
    "draw_headline",
    "draw_latency",
    "draw_latency_cdf",
    "draw_membranes",
    "draw_pareto",
    "draw_raster",
    "draw_scene",
    "draw_spikes",
    "draw_stress",
    "draw_sweep",
    "draw_tornado",
    "house_style",
    "make_figures",
    "new_figure",
    "save_figure",
    "time_surface",
]
