"""``spikefuse stream``: a trained run on streams, live or recorded."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from experiments.commands.places import limit_threads
from spikefuse.errors import ConfigError, SpikefuseError

if TYPE_CHECKING:
    from sensors.live.sinks import Sink
    from spikefuse.models import FusionSNN
    from spikefuse.runtime.outcomes import Outcomes
    from spikefuse.runtime.runner import EngineName

_SOURCE = "Events, sound or film: a file, a folder of pictures, udp:PORT, or mic."


def stream(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    vision: Annotated[str | None, typer.Option("--vision", help=_SOURCE)] = None,
    audio: Annotated[str | None, typer.Option("--audio", help=_SOURCE)] = None,
    more: Annotated[
        list[str] | None, typer.Option("--source", help="MODALITY=SOURCE. Repeatable.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="A spiking model of the run.")] = "snn",
    seed: Annotated[int | None, typer.Option("--seed", help="Of the run; the first one.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="stepped or event.")] = "stepped",
    speed: Annotated[
        str, typer.Option("--speed", help="Of recordings: 1 is as recorded, max is at once.")
    ] = "max",
    for_s: Annotated[float | None, typer.Option("--for", help="End after so many seconds.")] = None,
    latency_ms: Annotated[
        float, typer.Option("--latency", help="Budget of the jitter buffer, ms.")
    ] = 10.0,
    silent_ms: Annotated[
        float, typer.Option("--silent", help="A sensor is absent after this lag, ms.")
    ] = 500.0,
    every_ms: Annotated[
        float | None, typer.Option("--every", help="Time between decisions, ms; every step.")
    ] = None,
    trial_ms: Annotated[
        float | None,
        typer.Option("--trial", help="Start from rest every so many ms; 0 never; as trained."),
    ] = None,
    theta: Annotated[
        float | None,
        typer.Option("--exit", help="Leave a trial at this confidence; -1: the run's own."),
    ] = None,
    wake: Annotated[
        int | None,
        typer.Option("--wake", help="Audio sleeps until vision has N events in 20 ms."),
    ] = None,
    duty: Annotated[
        str | None, typer.Option("--duty", help="ON/PERIOD in ms: on in turns.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            help="UW[/MODALITY]: audio, or that one, is shed while the network's mean power "
            "(first profile) is above so many microwatts.",
        ),
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Find the second sensor's clock and follow it.")
    ] = False,
    ear: Annotated[
        str, typer.Option("--ear", help="Of sound files: the run's cochlea, or streaming.")
    ] = "run",
    packets: Annotated[
        str, typer.Option("--packets", help="Format of UDP events; see the page on sources.")
    ] = "t64_x16_y16_on8",
    fps: Annotated[float, typer.Option("--fps", help="Of films that hold no times.")] = 30.0,
    lines: Annotated[
        str | None, typer.Option("--lines", help="Decisions as JSON lines: a file, or -.")
    ] = None,
    udp: Annotated[
        str | None, typer.Option("--udp", help="Decisions as JSON datagrams to [HOST:]PORT.")
    ] = None,
    snapshot: Annotated[
        Path | None,
        typer.Option(
            "--snapshot",
            help="Keep all that is needed to go on in this file; go on from it where it is there.",
        ),
    ] = None,
    snapshot_every: Annotated[
        float | None,
        typer.Option("--snapshot-every", help="Seconds of the host between snapshots; 10."),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures here.")
    ] = None,
) -> None:
    """Run a trained model on streams as they come; writes stream.json and the report.

    With --snapshot, a stream that was killed goes on when the same command is given again;
    Ctrl-C, SIGTERM and --for end it there, to go on later.
    """
    from experiments.run import load_run_config

    config = load_run_config(run)
    limit_threads(config.train.threads)
    from experiments.evaluation.opening import open_model
    from experiments.files import write_json
    from experiments.streaming.gates import gate_of, policy_of
    from experiments.streaming.opening import open_source, speed_of
    from experiments.streaming.result import FILE, describe_stream
    from experiments.streaming.session import Session, steady, warm_up
    from experiments.streaming.show import LiveTable, print_stream
    from experiments.streaming.snapshots import Continued, Keeper, mark_of, stopped_gently
    from sensors.live.files import StreamSource
    from sensors.live.source import Epoch, Pace, in_turn
    from spikefuse.runtime import StreamRunner
    from spikefuse.runtime.buffer import BufferParams, JitterBuffer
    from spikefuse.runtime.clocks import ClockEstimator
    from spikefuse.runtime.outcomes import Outcomes

    if snapshot_every is not None and snapshot is None:
        raise ConfigError("--snapshot-every must have --snapshot FILE, got none")
    pace = Pace(speed_of(speed))
    if for_s is not None and not for_s > 0:
        raise ConfigError(f"--for must be positive, got {for_s:g}")
    chosen = _engine(engine)
    chosen_seed = config.seeds[0] if seed is None else seed
    net, result = open_model(run, config, model, chosen_seed)
    words = _sources(net, vision, audio, more or [])
    sizes = {part.name: part.sensor_size for part in net.spec.modalities}
    warm_up(net, chosen)
    outcomes, epoch = Outcomes(), Epoch()
    with _named_options():
        opened = [
            open_source(
                where,
                name,
                sizes[name],
                config,
                outcomes,
                epoch=epoch,
                ear=ear,
                packets=packets,
                fps=fps,
            )
            for name, where in words.items()
        ]
        live = any(source.live for source in opened)
        ends = [s.stream.duration_us for s in opened if isinstance(s, StreamSource)]
        every = net.spec.dt_ms if every_ms is None else every_ms
        # How long a film or a sound heard as it streams will be is not known yet.
        end_us = max(ends) if len(ends) == len(opened) else math.inf
        trial = _trial_ms(trial_ms, config.data.duration_ms, end_us, every)
        leave, temperature = _exit(theta, result["models"][model], config.seeds.index(chosen_seed))
        policy = policy_of(trial, theta, leave, temperature)
        params = BufferParams(
            latency_ms=latency_ms,
            silent_ms=silent_ms,
            overflow="drop" if live else "wait",
            # A recording may hold equal events, and the batch path keeps them.
            repeated="drop" if live else "keep",
            jump_ms=2000.0 if live else math.inf,
        )
        sinks = _sinks(lines, udp, outcomes)
        console = Console(stderr=lines == "-")
        runner = StreamRunner(
            net, chosen, every_ms=every_ms, count=engine == "stepped", policy=policy
        )
        if budget is not None and engine != "stepped":
            raise ConfigError(f"--budget must have the stepped engine, which counts, got {engine}")
        gates = {"--exit": theta, "--wake": wake, "--duty": duty, "--budget": budget}
        gate = gate_of(gates, policy, runner, config.cost.profiles[0])
        session = Session(
            runner,
            JitterBuffer(sizes, params, outcomes),
            result["data"]["classes"],
            sinks,
            gate,
            ClockEstimator() if align else None,
            temperature,
        )
        sources = [Continued(source) for source in opened]
        keeper = None
        if snapshot is not None:
            kept: dict[str, Any] = {
                "sources": {name: mark_of(where) for name, where in words.items()}
            }
            kept |= {"ear": ear, "fps": fps}
            kept |= {"profile": config.cost.profiles[0]} if budget is not None else {}
            every_s = 10.0 if snapshot_every is None else snapshot_every
            keeper = Keeper(snapshot, every_s, session, sources, kept, lines)
            if keeper.resume(epoch, pace):
                console.print(keeper.told(), highlight=False, soft_wrap=True)
    started = time.monotonic()
    until_s = math.inf if for_s is None else for_s
    with (
        steady(),
        stopped_gently() if keeper else nullcontext(),
        LiveTable(console, config) as table,
    ):

        def update(session: Session) -> None:
            table.update(session)
            if keeper is not None:
                keeper.update()

        try:
            if not runner.finished:
                session.run(in_turn(sources, pace, until_s), update)
        except KeyboardInterrupt:
            console.print("interrupted: what was heard so far is written", highlight=False)
        if not runner.finished and (keeper is None or keeper.ended):
            session.finish(_padded_us(config.data.duration_ms, ends, live))
        if keeper is not None:
            keeper.save_if_possible()
            if not runner.finished:
                console.print(f"the same command goes on from {snapshot}", highlight=False)
    for sink in sinks:
        sink.close()
    host_s = time.monotonic() - started if keeper is None else keeper.host_s
    found = describe_stream(session, config, host_s)
    found |= {"model": model, "engine": engine, "sources": words, "speed": speed}
    if keeper is not None:
        found["pauses"] = keeper.describe()
    print_stream(found, console)
    write_json(run / FILE, found)
    from analysis.report import write_report

    console.print(
        f"{run / FILE}  report: {write_report([run], None)}", highlight=False, soft_wrap=True
    )
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, found)


@contextmanager
def _named_options() -> Iterator[None]:
    """What an option's value is refused with is the user's error, in one line."""
    try:
        yield
    except SpikefuseError:
        raise
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error


def _engine(text: str) -> EngineName:
    """The engine of that name."""
    if text == "stepped":
        return "stepped"
    if text == "event":
        return "event"
    raise ConfigError(f"--engine must be stepped or event, got {text!r}")


def _sources(
    net: FusionSNN, vision: str | None, audio: str | None, more: list[str]
) -> dict[str, str]:
    """The word of each modality that has one."""
    words = {"vision": vision, "audio": audio}
    for text in more:
        name, found, where = text.partition("=")
        if not found:
            raise ConfigError(f"--source must be MODALITY=SOURCE, got {text!r}")
        words[name] = where
    given = {name: where for name, where in words.items() if where is not None}
    for name in given:
        if name not in net.modalities:
            raise ConfigError(f"sources must be of {list(net.modalities)}, got {name!r}")
    if not given:
        raise ConfigError("--vision or --audio must be given, got neither")
    return given


def _trial_ms(given: float | None, trained: float, end_us: float, every_ms: float) -> float:
    """Length of a trial; 0 without any: a recording that is one trial needs none."""
    if given is not None:
        if not 0 <= given < math.inf or abs(given / every_ms - round(given / every_ms)) > 1e-6:
            raise ConfigError(f"--trial must be whole decisions of {every_ms:g} ms, got {given:g}")
        return given
    # As many steps as a sample has in training, a part of one counted.
    whole = math.ceil(trained / every_ms - 1e-9) * every_ms
    return whole if end_us > trained * 1e3 else 0.0


def _exit(theta: float | None, model: dict[str, Any], k: int) -> tuple[float | None, float]:
    """Threshold, the one given or the one that seed ``k`` chose on validation, and temperature."""
    found = model.get("exit")
    temperature = float(found["temperature_by_seed"][k]) if found else 1.0
    if theta is not None and theta < 0:
        if not found:
            raise ConfigError("--exit must be a confidence: the run has chosen none")
        theta = float(found["chosen"]["theta_by_seed"][k])
    return theta, temperature


def _padded_us(duration_ms: float, ends: list[int], live: bool) -> int | None:
    """One trial's recordings are followed by silence to the trial's end, as in training."""
    longest = max(ends, default=0)
    return None if live or longest > duration_ms * 1e3 else round(duration_ms * 1e3)


def _sinks(lines: str | None, udp: str | None, outcomes: Outcomes) -> list[Sink]:
    from sensors.live.sinks import JsonLines, UdpJson

    found: list[Sink] = []
    if lines is not None:
        found.append(JsonLines(lines))
    if udp is not None:
        try:
            found.append(UdpJson(udp, outcomes))
        except ValueError as error:
            raise ConfigError(f"--udp: {error}") from error
    return found
