from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from core.errors import BadSource
from core.testing import make_clip
from plugins.transcript.sound.audio import Recording, gain_for, iter_audio, loudness, record, unheard_tracks
from plugins.transcript.sound.windows import RATE

from ..conftest import DATA, load, save, silence


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a.ogg", "a.flac", "a.mp4", "a.mkv", "a.webm"])
def test_any_file_becomes_16_khz_mono_of_its_length(name: str, tmp_path: Path) -> None:
    samples = load(make_clip(tmp_path / name, seconds=3))

    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(3 * RATE, abs=0.06 * RATE)
    assert 0.1 < np.abs(samples[RATE : 2 * RATE]).max() < 1


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2), (48_000, 6)])
def test_any_rate_and_any_number_of_channels(rate: int, channels: int, tmp_path: Path) -> None:
    samples = load(make_clip(tmp_path / "a.mkv", seconds=2, sample_rate=rate, channels=channels))

    assert len(samples) == pytest.approx(2 * RATE, abs=0.06 * RATE)


def test_it_comes_in_pieces(tmp_path: Path) -> None:
    pieces = list(iter_audio(make_clip(tmp_path / "a.mp3", seconds=20, video=False)))

    assert max(map(len, pieces)) < 2 * RATE


def test_sound_that_begins_after_the_picture_keeps_its_place(tmp_path: Path) -> None:
    samples = load(make_clip(tmp_path / "a.mkv", seconds=3, audio_delay=1.5))

    loud = np.flatnonzero(np.abs(samples) > 0.1)
    assert loud[0] / RATE == pytest.approx(1.5, abs=0.05)


def test_loudness_is_brought_to_the_target_and_peaks_are_held(tmp_path: Path) -> None:
    clip = DATA / "en-noisy.mp3"
    gain = gain_for(clip, -16.0)
    assert gain
    louder = np.concatenate(list(iter_audio(clip, gain)))

    assert loudness(save(tmp_path / "louder.wav", louder)) == pytest.approx(-16, abs=1.5)
    assert np.abs(louder).max() < 1.0


def test_silence_is_left_as_it_is(tmp_path: Path) -> None:
    assert gain_for(save(tmp_path / "silence.wav", 0 * silence(2)), -16.0) is None


def test_a_file_without_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="has no sound to transcribe"):
        load(make_clip(tmp_path / "mute.mp4", audio=False))


def test_what_is_no_media_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.mp3").write_text("these are my notes " * 100)
    with pytest.raises(BadSource, match=r"notes\.mp3"):
        load(tmp_path / "notes.mp3")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="does not exist"):
        load(tmp_path / "a.mp3")


def test_a_header_that_knows_no_length_cuts_nothing_off(tmp_path: Path) -> None:
    """Pod's worker cuts at the duration that Pod sends, which may be 0; here nothing but the sound counts."""
    path = save(tmp_path / "a.wav", silence(5))
    header = bytearray(path.read_bytes())
    header[4:8] = header[40:44] = bytes(4)  # a recorder that never came back to write the sizes
    path.write_bytes(header)

    assert len(load(path)) == pytest.approx(5 * RATE, abs=10)


def test_a_damaged_middle_costs_only_itself(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp3", seconds=20, video=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(range(256)) * 19 + bytes(136)
    path.write_bytes(data)

    assert len(load(path)) > 17 * RATE


def test_a_cut_file_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", seconds=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert len(load(path)) > 8 * RATE


def test_the_default_track_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as film:
        tracks = []
        for default in (False, True):
            track = film.add_stream("pcm_s16le", RATE, layout="mono")
            track.disposition = av.stream.Disposition.default if default else av.stream.Disposition(0)
            tracks.append(track)
        for track, loudness_of_it in zip(tracks, (10, 20_000), strict=True):
            wave = np.full((1, 2 * RATE), loudness_of_it, np.int16)
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            film.mux(track.encode(frame))

    assert np.abs(load(path)).max() > 0.5
    notes = unheard_tracks(path)
    assert notes == ["only the default audio track was transcribed, not the 1 other"]
    assert Recording(path, 0, unheard_tracks=notes).notes == notes


@pytest.mark.parametrize("inverted", ["left", "right"])
def test_a_channel_that_is_the_other_inverted_does_not_silence_it(inverted: str, tmp_path: Path) -> None:
    speech = load(DATA / "en-short.wav")
    channels = np.stack([speech, -0.5 * speech] if inverted == "right" else [-0.5 * speech, speech])
    path = save(tmp_path / "cable.wav", channels)
    assert np.abs(load(path)).max() == pytest.approx(np.abs(speech).max(), rel=0.05)


def test_a_channel_that_is_inverted_from_some_moment_on_costs_nothing(tmp_path: Path) -> None:
    speech = load(DATA / "en-short.wav")
    half = len(speech) // 2
    wire = np.concatenate([0.1 * speech[:half], -0.9 * speech[half:]])

    heard = load(save(tmp_path / "cable.wav", np.stack([speech, wire])))

    blocks = [np.abs(sound[: len(sound) // 20 * 20]).reshape(20, -1).max(axis=1) for sound in (heard, speech)]
    assert (blocks[0] >= 0.4 * blocks[1]).all(), "it was silent for seconds, as long as what went before counted"


def test_a_voice_is_heard_above_the_noise_of_an_inverted_cable(tmp_path: Path) -> None:
    speech = load(DATA / "en-short.wav")
    hiss = 0.3 * speech.std() * np.random.default_rng(4).standard_normal((2, len(speech))).astype(np.float32)

    heard = load(save(tmp_path / "cable.wav", np.stack([speech, -0.8 * speech]) + hiss))

    assert np.corrcoef(heard[: len(speech)], speech[: len(heard)])[0, 1] > 0.8


def test_a_recording_is_read_where_one_likes(tmp_path: Path) -> None:
    wave = np.linspace(-1, 1, 1000, dtype=np.float32)
    recording = record([wave[:300], wave[300:]], tmp_path / "sound.s16")

    assert recording.samples == 1000
    np.testing.assert_allclose(recording.read(250, 400), wave[250:400], atol=1e-4)
    assert len(recording.read(990, 1100)) == 10
