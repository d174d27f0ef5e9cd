"""What is opened: the file that is meant, of kinds that universities use, as large as a lecture may be."""

from __future__ import annotations

import ast
import io
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image
from pydantic import ValidationError

from core import BadSource, Source
from core.testing import Subtitles, fake_context, fake_job, make_clip
from plugins.encode.dressing import Watermark, draw_logo
from plugins.encode.engine import encode_lecture
from plugins.encode.film import film_of
from plugins.encode.options import EncodeOptions
from plugins.encode.source.probe import Media, probe
from plugins.encode.studio.compose import compose_takes
from plugins.encode.studio.options import ComposeOptions
from plugins.media.allowed import CODECS, FORMATS, NEVER
from plugins.media.opener import grown, open_source
from plugins.media.picture_file import read_picture
from plugins.media.settings import DEFAULTS, MediaSettings
from plugins.media.source_file import packets
from plugins.transcript.sound.audio import iter_audio, unheard_tracks

PLUGINS = Path(__file__).parents[3] / "plugins"

#: What of a film can be looked into by libav, and by whom.
READERS: Sequence[Callable[[Path, MediaSettings], object]] = (
    probe,
    lambda path, settings: list(iter_audio(path, settings=settings)),
)


def film_with(
    path: Path, videos: Sequence[tuple[str, int]] = (), sounds: int = 1, seconds: float = 1, **about: Any
) -> Path:
    """Write a film with a video track for each codec and width, the first the default one, and so many of sound.

    :param about: chapters, and titles and languages of the tracks of sound.
    """
    with av.open(str(path), "w") as film:
        tracks: list[Any] = []
        for number, (codec, width) in enumerate(videos):
            video: Any = film.add_stream(codec, rate=10)
            video.width, video.height, video.pix_fmt = width, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            video.disposition = Disposition(0) if number else Disposition.default
            tracks.append(video)
        for number in range(sounds):
            sound = film.add_stream("pcm_s16le", 8000, layout="mono")
            for name in ("title", "language"):
                if value := about.get(name):
                    sound.metadata[name] = f"{value}{number or ''}" if name == "title" else value
            tracks.append(sound)
        film.set_chapters(
            [
                {
                    "id": number,
                    "start": number * 100,
                    "end": (number + 1) * 100,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for number, title in enumerate(about.get("chapters", ()))
            ]
        )
        for track in tracks:
            frames = _pictures(track, seconds) if track.type == "video" else [_noise(seconds)]
            for frame in [*frames, None]:
                film.mux(track.encode(frame))
    return path


def _pictures(track: Any, seconds: float) -> Iterator[av.VideoFrame]:
    for number in range(round(seconds * 10)):
        frame = av.VideoFrame(track.width, track.height, track.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([number]) * plane.buffer_size)
        frame.pts, frame.time_base = number, Fraction(1, 10)
        yield frame


def _noise(seconds: float) -> av.AudioFrame:
    wave = np.random.default_rng(1).integers(-9000, 9000, (1, round(8000 * seconds)), np.int16)
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts = 8000, 0
    return frame


def wave_file(path: Path, rate: int, channels: int, samples: int) -> Path:
    """Write 8-bit PCM under a header of our own: no encoder takes these numbers."""
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels % 2**32, channels, 8)
    data = bytes(range(100, 150)) * (samples * channels // 50 + 1)
    sound = struct.pack("<4sI", b"data", samples * channels) + data[: samples * channels]
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(header) + len(sound)) + b"WAVE" + header + sound)
    return path


# Kinds of files


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "camera.mp4"
    with av.open(str(path), "w", format="h264") as film:
        video = film.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for frame in [*_pictures(video, 1), None]:
            film.mux(video.encode(frame))
    return path


@pytest.mark.parametrize("read", READERS)
def test_a_container_that_is_not_on_the_list_is_named_with_the_setting_that_takes_it(
    raw: Path, read: Callable[[Path, MediaSettings], object]
) -> None:
    with pytest.raises(
        BadSource,
        match=r"camera\.mp4 is not an audio or video file of a kind that is taken, it looks like h264: upload .*, "
        r"or add h264 to `formats` of \[plugin\.media\]",
    ):
        read(raw, DEFAULTS)

    with open_source(raw, MediaSettings.model_validate({"formats": "ivf, h264"})) as container:
        assert container.format.name == "h264"


def test_no_setting_allows_what_opens_other_files() -> None:
    for name in (*NEVER, "png_pipe"):
        with pytest.raises(ValidationError, match=f"{name} would have an upload open other files"):
            MediaSettings.model_validate({"formats": [name]})
    assert not NEVER.intersection(FORMATS)


@pytest.mark.parametrize(
    "text", [";FFMETADATA1\ntitle=a\n", "1\n00:00:01,000 --> 00:00:02,000\na\n\n", "a text\n" * 99]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.srt", "a.ffmeta", "a.nfo"])
def test_texts_are_no_films(text: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(BadSource, match="is not an audio or video file"):
        probe(path)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "JPEG", "BMP", "TIFF"])
def test_pictures_that_move_or_not_are_no_films(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frames = [Image.new("L", (64, 48), shade) for shade in (0, 128)]
    frames[0].save(path, kind, **({"save_all": True, "append_images": frames[1:]} if kind in {"GIF", "PNG"} else {}))

    with pytest.raises(BadSource, match="is not an audio or video file"):
        probe(path)


def test_every_name_on_the_list_of_codecs_is_one_of_libav() -> None:
    known = set()
    for name in av.codecs_available:
        try:
            known.add(av.Codec(name, "r").canonical_name)
        except ValueError:
            continue
    assert [name for name in CODECS if "*" not in name and name not in known] == []


# Codecs


def test_a_film_in_a_strange_codec_is_refused_by_name_with_the_setting_that_takes_it(tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.avi", [("asv1", 64)])

    with pytest.raises(
        BadSource,
        match=r"a\.avi: video track 0 is coded as asv1, which is not taken: convert it to H\.264 and AAC, or add "
        r"asv1 to `codecs` of \[plugin\.media\]",
    ):
        probe(path)
    assert probe(path, MediaSettings(codecs=("asv1",))).video
    assert sum(map(len, iter_audio(path))) == pytest.approx(16_000, abs=50), "its sound is no stranger"


def test_a_track_in_a_strange_codec_is_left_out_with_a_note_if_there_is_another(tmp_path: Path) -> None:
    media = probe(film_with(tmp_path / "a.avi", [("asv1", 64), ("libx264", 96)]))

    assert media.video
    assert media.video.width == 96
    assert "video track 0 is coded as asv1, which is not taken, and was left out" in media.notes


def test_what_is_not_taken_is_not_decoded_to_find_out_about_it(tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.avi", [("asv1", 64)])

    with open_source(path) as container:
        assert container.streams.video[0].codec_context.pix_fmt is None
    with open_source(path, MediaSettings(codecs=("asv*",))) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_subtitles_of_a_kind_that_nobody_reads_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", seconds=1, subtitles=[Subtitles("eng", [(0, 1, "hello")])])
    assert len(probe(path).subtitles) == 1
    path.write_bytes(path.read_bytes().replace(b"S_TEXT/UTF8", b"S_TEXT/USF\0"))
    media = probe(path)

    assert not media.subtitles
    assert "subtitle track 2 is of a kind that can't be read and was left out" in media.notes


# Files that are none

NO_FILES = ("pipe", "socket", "device", "folder")


@pytest.fixture(params=NO_FILES)
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "logo.png"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        if request.param == "socket":
            listener.bind(str(path))
        yield path


@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused_at_once_whatever_it_is_given_for(no_file: Path, tmp_path: Path) -> None:
    lecture = make_clip(tmp_path / "lecture.mp4", seconds=0.5, width=64, height=48)
    uses: list[Callable[[], object]] = [
        lambda: probe(no_file),
        lambda: list(iter_audio(no_file)),
        lambda: draw_logo(Watermark(path=no_file), 180),
        lambda: film_of(lecture, EncodeOptions.model_validate({"dressing": {"opening": no_file}})),
        lambda: film_of(lecture, EncodeOptions.model_validate({"dressing": {"ending": no_file}})),
        lambda: compose_takes(
            fake_job(no_file),
            [Source(path=no_file, role="presenter")],
            ComposeOptions(),
            fake_context(tmp_path / "job", no_file),
        ),
    ]
    for use in uses:
        with pytest.raises(BadSource, match=r"logo\.png is a (device, a pipe or a socket|folder): name (a|the) file"):
            use()


# How much of everything


@pytest.mark.parametrize("read", READERS)
def test_a_file_of_more_bytes_than_are_taken_is_not_opened(
    read: Callable[[Path, MediaSettings], object], tmp_path: Path
) -> None:
    path = film_with(tmp_path / "a.mkv")

    with pytest.raises(BadSource, match=r"a\.mkv has .* GB, and 1e-07 are taken: .*`file_limit` of \[plugin\.media\]"):
        read(path, MediaSettings(file_limit=100))


@pytest.mark.parametrize("read", READERS)
def test_days_of_sound_in_a_small_file_are_refused(
    read: Callable[[Path, MediaSettings], object], tmp_path: Path
) -> None:
    path = wave_file(tmp_path / "a.wav", rate=1, channels=1, samples=3000)

    with pytest.raises(BadSource, match=r"a\.wav lasts 0\.[38] hours, and 0\.278 are taken: .*`duration_limit`"):
        read(path, MediaSettings(duration_limit=1000))


def test_a_header_that_errs_by_days_is_not_believed(tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.mkv", [("libx264", 64)])
    data = path.read_bytes()
    duration = data.index(b"\x44\x89\x88") + 3
    path.write_bytes(data[:duration] + struct.pack(">d", 1e12) + data[duration + 8 :])

    assert probe(path).duration == pytest.approx(1)
    assert sum(map(len, iter_audio(path))) == pytest.approx(16_000, abs=50)


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".nut"])
@pytest.mark.parametrize("read", READERS)
def test_more_tracks_than_are_taken_are_refused(
    read: Callable[[Path, MediaSettings], object], suffix: str, tmp_path: Path
) -> None:
    path = film_with(tmp_path / f"a{suffix}", sounds=6)

    for limit in (2, 5):  # libav stops at one more
        with pytest.raises(
            BadSource, match=rf"a{suffix} has more than {limit} tracks, and no more are taken: .*`track_"
        ):
            read(path, MediaSettings(track_limit=limit))
    read(path, MediaSettings(track_limit=6))


def test_of_more_tracks_than_are_taken_no_decoders_are_made(tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.mov", sounds=6)

    with pytest.raises(BadSource, match="has more than 2 tracks") as refusal:
        open_source(path, MediaSettings(track_limit=2))
    assert isinstance(refusal.value.__cause__, av.error.FFmpegError), "libav itself has stopped"


def test_audio_tracks_past_the_limit_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.mkv", [("libx264", 64)], sounds=5)
    media = probe(path, MediaSettings(audio_track_limit=3))

    assert len(media.other_audio) == 2
    assert "2 of 5 audio tracks were left out: 3 are taken (`audio_track_limit` of [plugin.media])" in media.notes


@pytest.mark.parametrize("codec", ["libx264", "mjpeg", "png", "ffv1"])
def test_pictures_of_more_pixels_than_are_taken_are_refused_by_their_size(codec: str, tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.mkv", [(codec, 640)]) if codec != "png" else _png_film(tmp_path / "a.mov")

    with pytest.raises(
        BadSource,
        match=r"a\.m..: video track 0 has pictures of 640x48, and 0\.01 million pixels are taken: .*`pixel_limit`",
    ):
        probe(path, MediaSettings(pixel_limit=10_000))


def _png_film(path: Path) -> Path:
    with av.open(str(path), "w") as film:
        video: Any = film.add_stream("png", rate=10)
        video.width, video.height, video.pix_fmt = 640, 48, "rgb24"
        for frame in [*_pictures(video, 0.1), None]:
            film.mux(video.encode(frame))
    return path


def test_pictures_that_become_larger_in_mid_film_are_not_decoded(tmp_path: Path) -> None:
    parts = [make_clip(tmp_path / f"{width}.ts", seconds=1, width=width, height=48) for width in (64, 640)]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))

    def widths(settings: MediaSettings) -> set[int]:
        found = set()
        with open_source(path, settings) as container:
            for packet in container.demux(container.streams.video):
                try:
                    found |= {frame.width for frame in packet.decode()}
                except av.error.FFmpegError:
                    continue
        return found

    assert widths(DEFAULTS) == {64, 640}
    assert widths(MediaSettings(pixel_limit=10_000)) == {64}


@pytest.mark.parametrize(
    ("rate", "channels", "words"),
    [
        (4_000_000, 1, r"has 4000000 samples a second, and 768000 are taken: .*`sample_rate_limit`"),
        (48_000, 255, r"has 255 channels, and 64 are taken: .*`channel_limit`"),
        (48_000, 30, r"has 30 channels that can't be mixed down: mix its sound down to two channels"),
    ],
)
def test_sound_that_no_lecture_has_is_refused(rate: int, channels: int, words: str, tmp_path: Path) -> None:
    path = wave_file(tmp_path / "a.wav", rate, channels, samples=4000)

    with pytest.raises(BadSource, match=rf"a\.wav: audio track 0 {words}"):
        probe(path)
    with pytest.raises(BadSource, match=r"a\.wav: (audio track 0 has|its sound can't be decoded)"):
        list(iter_audio(path))


def test_the_transcription_says_which_tracks_it_could_not_hear(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as film:
        tracks = [film.add_stream("pcm_s16le", rate, layout="mono") for rate in (48_000, 8_000)]
        for track in tracks:
            film.mux(track.encode(_noise(0.5)))
    notes = unheard_tracks(path, MediaSettings(sample_rate_limit=9000))

    assert notes == ["audio track 0 has 48000 samples a second, and 9000 are taken, and was left out"]


def test_chapters_past_the_limit_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.mkv", seconds=1, chapters=[f"{number}" for number in range(9)])
    media = probe(path, MediaSettings(chapter_limit=4))

    assert [chapter.title for chapter in media.chapters] == ["0", "1", "2", "3"]
    assert "5 of 9 chapters were left out: the first 4 are kept (`chapter_limit` of [plugin.media])" in media.notes


def test_titles_of_more_than_a_line_or_two_are_cut_with_a_note(tmp_path: Path) -> None:
    path = film_with(tmp_path / "a.mkv", seconds=1, title="t" * 3000, chapters=["short", "c" * 2000])
    media = probe(path)

    assert media.audio
    assert media.audio.title == "t" * 999 + "…"
    assert [len(chapter.title) for chapter in media.chapters] == [5, 1000]
    note = "1 titles were cut at 1000 characters (`title_limit` of [plugin.media])"
    assert media.notes == (note, note), "one of a chapter, one of a track"


def test_a_language_that_is_no_tag_names_no_file(tmp_path: Path) -> None:
    media = probe(film_with(tmp_path / "a.mkv", language="x" * 300))

    assert media.audio
    assert media.audio.language is None
    assert "the language of track 0 has 300 letters and was left out" in media.notes


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_says_more_of_itself_than_a_book_is_refused(
    read: Callable[[Path, MediaSettings], object], tmp_path: Path
) -> None:
    path = film_with(tmp_path / "a.mkv", title="t" * 3000, sounds=2)

    with pytest.raises(
        BadSource, match=r"a\.mkv has 0\.0 million characters of metadata, and 0\.005 .*`metadata_limit`"
    ):
        read(path, MediaSettings(metadata_limit=5000))


# Pictures


def test_a_watermark_of_more_bytes_than_are_taken_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    Image.effect_noise((200, 200), 90).save(path)

    with pytest.raises(BadSource, match=r"watermark .*logo\.png .*\(it has 0\.0 MB, 0\.001 are taken\): give a PNG"):
        read_picture(path, "watermark", MediaSettings(picture_limit=1000))
    assert read_picture(path, "watermark").size == (200, 200)


def test_a_watermark_that_moves_unfolds_to_its_first_picture_alone(tmp_path: Path) -> None:
    path = tmp_path / "logo.gif"
    Image.new("P", (8, 8)).save(path, save_all=True, append_images=[Image.new("P", (8, 8), 1)] * 3)
    data = path.read_bytes()
    path.write_bytes(data[:6] + struct.pack("<HH", 60_000, 60_000) + data[10:])

    with pytest.raises(BadSource, match=r"logo\.gif can't be read as a picture \(it has more than 50 million pixels\)"):
        read_picture(path, "watermark")


def test_what_a_damaged_picture_makes_pillow_say_is_about_the_picture(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 48), 50).convert("RGB").save(whole, "AVIF")
    data = whole.getvalue()
    path = tmp_path / "logo.avif"
    begin = data.index(b"mdat") + 4
    path.write_bytes(data[:begin] + bytes(len(data) - begin))

    with pytest.raises(BadSource, match=r"logo\.avif can't be read as a picture \(it is none, or is cut off\)"):
        read_picture(path, "watermark")


def test_a_cover_that_is_too_large_is_left_out_with_a_note(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp3", seconds=0.5, cover=True)
    context = fake_context(tmp_path / "job", path)
    output = encode_lecture(
        fake_job(path), path, EncodeOptions(), context, MediaSettings(picture_pixel_limit=300 * 300 - 1)
    )

    assert not [artifact for artifact in output.artifacts if artifact.kind == "thumbnail"]
    assert any(
        note.startswith("the cover can't be read as a picture (it has 0 million pixels") for note in output.notes
    )


# Ladders, and files that change


def test_a_ladder_has_as_many_rungs_as_a_machine_can_climb() -> None:
    rungs = [{"height": 120 + 2 * number, "max_rate": 100_000} for number in range(17)]

    assert EncodeOptions.model_validate({"renditions": rungs[:16]})
    with pytest.raises(ValidationError, match="at most 16 items"):
        EncodeOptions.model_validate({"renditions": rungs})


def test_a_file_that_grows_while_it_is_read_ends_where_it_ended(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", seconds=2, width=64, height=48)
    whole = path.read_bytes()

    def pictures(*, grows: bool) -> int:
        with open_source(path) as container, path.open("ab") as recorder:
            found = 0
            for packet in packets(container, container.streams.video):
                found += bool(packet.size)
                if grows:
                    recorder.write(whole)
                    recorder.flush()
                assert found < 1000, "it never ends"
            return found

    expected = pictures(grows=False)
    assert pictures(grows=True) == expected


def test_a_film_of_a_file_that_has_grown_says_so(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", seconds=0.5, width=64, height=48, audio=False)
    size = path.stat().st_size

    def write_on(_: object) -> None:
        path.write_bytes(path.read_bytes() + bytes(188))

    context = fake_context(tmp_path / "job", path, report=write_on)
    output = encode_lecture(fake_job(path), path, EncodeOptions(preset="ultrafast"), context)

    assert [note for note in output.notes if f"a.ts was still being written: it had {size} bytes at first" in note]
    assert not grown(path, path.stat().st_size)


# One way in


def test_every_file_is_opened_under_the_host_s_settings() -> None:
    """A caller that forgets them would take what the site does not, and refuse what it does."""
    takers = {
        "open_source",
        "probe",
        "film_of",
        "read_picture",
        "decode_picture",
        "draw_logo",
        "iter_audio",
        "gain_for",
    }
    takers |= {"encode_lecture", "compose_takes", "divide_lecture", "unheard_tracks", "describe", "loudness"}
    forgetful = [
        f"{path.name}:{node.lineno}"
        for path in PLUGINS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in takers
        and not ast.unparse(node.args[-1]).endswith(("settings", "media"))
    ]
    assert forgetful == []


def test_a_part_is_read_under_the_settings_of_the_whole(tmp_path: Path) -> None:
    from pydantic import TypeAdapter

    settings = MediaSettings(codecs=("asv1",))
    media = probe(film_with(tmp_path / "a.avi", [("asv1", 64)]), settings)
    adapter = TypeAdapter(Media)

    assert adapter.validate_json(adapter.dump_json(media)).settings == settings
