"""Events over real loopback sockets; what is wrong with them is counted, and nothing more."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

import numpy as np
import pytest

from sensors.live.packets import FORMATS, format_by_name
from sensors.live.sinks import Call, JsonLines, UdpJson
from sensors.live.source import Epoch, in_turn
from sensors.live.udp import UdpSender, UdpSource
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE
from spikefuse.runtime.buffer import BufferParams, JitterBuffer
from spikefuse.runtime.outcomes import Outcomes


def events(n, start_us=0):
    found = np.zeros(n, EVENT_DTYPE)
    found["t"] = start_us + np.arange(n) * 3
    found["x"], found["y"] = np.arange(n) % 300, np.arange(n) % 200
    found["p"] = np.arange(n) % 3 == 0
    return found


def received(source, n, seconds=2.0):
    parts, until = [], time.monotonic() + seconds
    while sum(map(len, parts)) < n and time.monotonic() < until:
        chunk = source.receive()
        if chunk is not None:
            parts.append(chunk.events)
    return np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)


@pytest.fixture
def port_and_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(2.0)
        yield listening.getsockname()[1], listening


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_events_come_back_as_they_were_packed(name):
    form = format_by_name(name)
    sent = events(500, 7)
    back = form.decode(form.encode(sent))
    if not form.timed:
        sent["t"] = 0
    assert np.array_equal(back, sent)


@pytest.mark.parametrize("name", ["t64_x16_y16_on8", "t32_x16_y15_on1"])
def test_packets_are_those_of_faery(name, port_and_socket):
    faery = pytest.importorskip("faery", reason="faery is not installed (spikefuse[io])")
    port, listening = port_and_socket
    sent = events(40, 1000)
    theirs = np.zeros(len(sent), faery.EVENTS_DTYPE)
    for to, ours in zip(faery.EVENTS_DTYPE.names, ("t", "x", "y", "p"), strict=True):
        theirs[to] = sent[ours]
    faery.events_stream_from_array(theirs, (640, 480)).to_udp(("127.0.0.1", port), format=name)
    packet = listening.recv(65_535)
    assert packet == format_by_name(name).encode(sent)
    assert np.array_equal(format_by_name(name).decode(packet), sent)


def test_spif_words_have_their_bits_where_its_manual_says():
    one = np.zeros(1, EVENT_DTYPE)
    one["x"], one["y"], one["p"], one["t"] = 0x1234, 0x0567, True, 0x01020304
    (word,) = np.frombuffer(format_by_name("spif").encode(one), "<u4")
    assert word == (1 << 31) | (0x1234 << 16) | (1 << 15) | 0x0567
    words = np.frombuffer(format_by_name("spif_time").encode(one), "<u4")
    assert words.tolist() == [(0x1234 << 16) | (1 << 15) | 0x0567, 0x01020304]


def test_packets_with_half_an_event_or_mixed_words_are_refused():
    for name, form in FORMATS.items():
        for packet in (b"", form.encode(events(2))[:-1]):
            with pytest.raises(DataError, match=name):
                form.decode(packet)
    mixed = format_by_name("spif").encode(events(1)) + b"\0\0\0\0"
    with pytest.raises(DataError, match="mixture"):
        format_by_name("spif").decode(mixed)


def test_events_arrive_over_a_socket_and_none_is_lost():
    source = UdpSource("vision", 0, zero="sent")
    sender = UdpSender("127.0.0.1", source.port)
    sent = events(5000)
    try:
        assert sender.send(sent) == 50
        assert np.array_equal(received(source, len(sent)), sent)
    finally:
        sender.close()
        source.close()


def test_the_first_event_of_a_camera_that_runs_for_long_is_at_its_arrival():
    source = UdpSource("vision", 0)
    sender = UdpSender("127.0.0.1", source.port)
    try:
        sender.send(events(10, 987_654_321_000))
        got = received(source, 10)
    finally:
        sender.close()
        source.close()
    assert 0 <= got["t"][0] < 10_000_000
    assert np.diff(got["t"]).tolist() == [3] * 9


@pytest.mark.parametrize("stray_us", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - (1 << 61)])
def test_a_first_packet_of_an_impossible_time_costs_itself_alone(stray_us):
    source = UdpSource("vision", 0)
    buffer = JitterBuffer({"vision": (640, 480, 2)}, outcomes=source.outcomes)
    sender = UdpSender("127.0.0.1", source.port)
    try:
        sender.send_bytes(struct.pack("<QHHB", stray_us, 1, 1, 1))
        sender.send(events(300, 5_000_000))
        buffer.push("vision", received(source, 301))
    finally:
        sender.close()
        source.close()
    assert sum(len(chunk.events) for chunk in buffer.flush()) == 300
    assert source.outcomes.by_modality() == {"vision": {"outside": 1}}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's time of a packet is Linux's")
@pytest.mark.parametrize("name", ["t64_x16_y16_on8", "spif"])
def test_a_packet_that_waits_to_be_read_is_at_its_arrival(name):
    epoch = Epoch()
    sources = [UdpSource(m, 0, name, epoch=epoch) for m in ("vision", "audio")]
    senders = [UdpSender("127.0.0.1", s.port, name) for s in sources]
    try:
        for sender in senders:
            sender.send(events(10, 5_000_000))
        first = received(sources[0], 10)
        time.sleep(0.5)
        second = received(sources[1], 10)
    finally:
        for one in (*sources, *senders):
            one.close()
    assert 0 <= second["t"][0] - first["t"][0] < 250_000


@pytest.mark.parametrize("name", ["spif_time", "t32_x16_y15_on1"])
def test_times_of_32_bits_go_on_when_they_begin_again(name):
    source = UdpSource("vision", 0, name, zero="sent")
    sender = UdpSender("127.0.0.1", source.port, name)
    sent = events(300, (1 << 32) - 450)
    sent["t"] %= 1 << 32
    try:
        sender.send(sent)
        got = received(source, 300)
    finally:
        sender.close()
        source.close()
    assert np.array_equal(got["t"], (1 << 32) - 450 + 3 * np.arange(300))


def test_a_backlog_of_sensors_of_unlike_rates_is_neither_silence_nor_late():
    outcomes = Outcomes()
    sources = [UdpSource(m, 0, zero="sent", outcomes=outcomes) for m in ("vision", "audio")]
    buffer = JitterBuffer(dict.fromkeys(("vision", "audio"), (300, 200, 2)), outcomes=outcomes)
    try:
        for source, n in zip(sources, (5000, 300), strict=True):
            sender = UdpSender("127.0.0.1", source.port)
            sent = events(n)
            sent["t"] = np.arange(n) * 2_000_000 // n  # 2 s in 50 packets, or in 3
            sender.send(sent)
            sender.close()
        taken = 0
        for chunk in in_turn(sources, for_s=5.0):
            taken += buffer.push(chunk.modality, chunk.events)
            buffer.pop()
            if taken == 5300:
                break
    finally:
        for source in sources:
            source.close()
    assert taken == 5300
    assert outcomes.by_modality() == {}


def test_everything_wrong_at_once_is_counted_and_the_good_events_come_through():
    source = UdpSource("vision", 0, zero="sent")
    sender = UdpSender("127.0.0.1", source.port)
    buffer = JitterBuffer({"vision": (300, 200, 2)}, BufferParams(), source.outcomes)
    try:
        good = events(1000, 1000)
        sender.send_bytes(b"not an event")
        sender.send_bytes(b"")
        sender.send(good)
        sender.send(good[300:400])  # a packet twice
        sender.send(events(100, 500_000_000))  # a leap
        sender.send(events(100, 100))  # and back
        outside = events(10, 700)
        outside["x"] = 20_000
        sender.send(outside)
        sender.send_bytes(np.random.default_rng(0).bytes(13 * 60))  # whole events, no sense
        until = time.monotonic() + 2.0
        while (chunk := source.receive()) is not None or time.monotonic() < until - 1.7:
            if chunk is not None:
                assert buffer.push("vision", chunk.events) == len(chunk.events)
    finally:
        sender.close()
        source.close()
    (chunk,) = buffer.flush()
    counts = source.outcomes.by_modality()["vision"]
    assert counts["malformed packet"] == 2
    assert counts["repeated"] >= 100
    assert counts["clock jump"] >= 1
    assert counts["outside"] >= 10
    assert (np.diff(chunk.events["t"]) >= 0).all()
    assert len(np.intersect1d(chunk.events, good)) == len(good)


def test_a_flood_over_the_socket_is_one_outcome_and_the_buffer_keeps_its_size():
    source = UdpSource("vision", 0, zero="sent")
    sender = UdpSender("127.0.0.1", source.port)
    params = BufferParams(capacity=2000, overflow="drop")
    buffer = JitterBuffer({"vision": (300, 200, 2)}, params, source.outcomes)
    try:
        for k in range(20):
            flood = events(1000)
            flood["t"] = k * 10 + np.arange(1000) // 200
            sender.send(flood)
            chunk = source.receive()
            if chunk is not None:
                buffer.push("vision", chunk.events)
            assert buffer.pending("vision") <= 2000
    finally:
        sender.close()
        source.close()
    assert source.outcomes.count("vision", "flood") == 1
    assert source.outcomes.count("vision", "flooded") > 1000


def test_a_port_that_is_taken_is_one_clear_error(port_and_socket):
    with pytest.raises(DataError, match="port must be free"):
        UdpSource("vision", port_and_socket[0])


def test_decisions_go_to_lines_datagrams_and_functions(tmp_path, port_and_socket):
    port, listening = port_and_socket
    seen = []
    path = tmp_path / "decisions.jsonl"
    record = {"time_us": 20_000, "label": 3}
    for sink in (JsonLines(path), UdpJson(f"127.0.0.1:{port}"), Call(seen.append)):
        sink.write(record)
        sink.close()
    assert json.loads(path.read_text()) == record
    assert json.loads(listening.recv(1000)) == record
    assert seen == [record]
    with pytest.raises(ValueError, match="HOST:PORT"):
        UdpJson("nowhere")


def test_a_host_that_is_none_is_an_error_and_a_network_that_is_down_is_counted():
    for address in ("no such host:4000", "::1:4000"):
        with pytest.raises(ValueError, match="IPv4"):
            UdpJson(address)
    outcomes = Outcomes()
    sink = UdpJson("255.255.255.255:4000", outcomes)  # broadcast, which the system refuses
    for _ in range(3):
        sink.write({"label": 1})
    sink.close()
    assert outcomes.by_modality() == {"decisions": {"unsent": 3}}
