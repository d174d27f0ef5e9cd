from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from plugins.encode.output.hls import Variant, avc_codec, bandwidths, master, read_segments
from plugins.encode.profiles import LECTURE

Clip = Callable[..., Path]
Encode = Callable[..., Any]


def playlist(*segments: tuple[float, int]) -> str:
    lines, offset = ["#EXTM3U", "#EXT-X-TARGETDURATION:2"], 0
    for seconds, size in segments:
        lines += [f"#EXTINF:{seconds:.6f},", f"#EXT-X-BYTERANGE:{size}@{offset}", "360p.ts"]
        offset += size
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def variants(path: Path) -> list[tuple[dict[str, str], str]]:
    found = re.findall(r"#EXT-X-STREAM-INF:(.*)\n(.*)\n", path.read_text())
    return [(dict(re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', attributes)), uri) for attributes, uri in found]


def test_the_peak_is_that_of_the_worst_segment_and_the_mean_that_of_all() -> None:
    assert bandwidths(playlist((2, 1000), (2, 3000), (2, 2000))) == (12_000, 8_000)


def test_a_last_segment_of_a_moment_is_no_peak_of_its_own() -> None:
    assert bandwidths(playlist((2, 1000), (0.1, 900))) == (7239, 7238)


def test_short_segments_count_together_up_to_one_and_a_half_targets() -> None:
    assert bandwidths(playlist((0.9, 100), (0.5, 1000), (0.5, 1000), (2, 100)))[0] == 16_000


def test_a_film_of_less_than_half_a_target_has_its_mean_as_peak() -> None:
    assert bandwidths(playlist((0.4, 100))) == (2000, 2000)


def test_segments_are_read_with_their_place_in_the_file() -> None:
    segments = read_segments(playlist((2, 1000), (1.5, 300)))
    assert [(segment.seconds, segment.size, segment.offset) for segment in segments] == [(2, 1000, 0), (1.5, 300, 1000)]


def test_the_master_lists_variants_in_the_order_given() -> None:
    low = Variant("360p.m3u8", 900_000, 700_000, 640, 360, Fraction(30_000, 1001), "avc1.64001e,mp4a.40.2")
    assert master([low]) == (
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=700000,RESOLUTION=640x360,FRAME-RATE=29.970,"
        'CODECS="avc1.64001e,mp4a.40.2"\n360p.m3u8\n'
    )


def test_the_codec_is_named_from_profile_constraints_and_level() -> None:
    assert avc_codec(b"\x00\x00\x00\x01\x67\x64\x00\x1f\xac\x00\x00\x01\x68") == "avc1.64001f"
    with pytest.raises(ValueError, match="no sequence parameter set"):
        avc_codec(b"\x00\x00\x00\x01\x68")


def test_the_masters_attributes_are_those_of_the_files(lecture: Any) -> None:
    offered = variants(lecture.folder / "livestream.m3u8")
    assert [uri for _, uri in offered] == ["360p.m3u8", "720p.m3u8"]
    for attributes, uri in offered:
        segments = read_segments((lecture.folder / uri).read_text())
        with av.open(str((lecture.folder / uri).with_suffix(".ts"))) as container:
            video = container.streams.video[0].codec_context
            assert attributes["RESOLUTION"] == f"{video.width}x{video.height}"
            # The level that decoders read in the stream itself.
            assert attributes["CODECS"] == f'"avc1.6400{video.level:02x},mp4a.40.2"'
        assert int(attributes["BANDWIDTH"]) == pytest.approx(max(s.size * 8 / s.seconds for s in segments), rel=0.001)
        size = (lecture.folder / uri).with_suffix(".ts").stat().st_size
        assert int(attributes["AVERAGE-BANDWIDTH"]) == pytest.approx(size * 8 / 12, rel=0.01)
        assert attributes["FRAME-RATE"] == "25.000"


def test_each_segment_is_two_seconds_and_begins_with_a_keyframe(lecture: Any, tmp_path: Path, look: Any) -> None:
    segments = read_segments((lecture.folder / "720p.m3u8").read_text())
    assert [segment.seconds for segment in segments] == pytest.approx([2] * 6, abs=0.02)
    data = (lecture.folder / "720p.ts").read_bytes()
    for number, segment in enumerate(segments):
        alone = tmp_path / f"{number}.ts"
        alone.write_bytes(data[segment.offset : segment.offset + segment.size])
        seen = look(alone)
        assert (len(seen.frames), seen.faults) == (50, ())
        assert seen.frames[0] in seen.keyframes


def test_a_film_without_sound_names_no_audio_codec(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mp4", audio=False))
    assert [attributes["CODECS"] for attributes, _ in variants(encoded.folder / "livestream.m3u8")] == ['"avc1.64001e"']


def test_the_master_of_a_small_source_names_the_lines_that_there_are(clip: Clip, encode: Encode) -> None:
    encoded = encode(clip("a.mp4", width=426, height=240), profile="lecture")
    offered = [(attributes["RESOLUTION"], uri) for attributes, uri in variants(encoded.folder / "livestream.m3u8")]
    assert offered == [("426x240", "240p.m3u8")]


#: Sources whose pictures and sound don't begin and end together, by the properties of their clips.
UNEVEN: dict[str, dict[str, Any]] = {
    "slides": {"seconds": 7, "times": [0, 3]},
    "one slide": {"seconds": 3.7, "times": [0]},
    "sound goes on": {"seconds": 5.5, "times": [number / 25 for number in range(50)]},
    "sound ends early": {"seconds": 2, "times": [number / 25 for number in range(110)]},
    "pictures begin late": {"seconds": 4, "times": [0.6 + number / 25 for number in range(80)]},
    "no sound": {"times": [0, 1, 1.5, 4.2], "audio": False},
}


@pytest.mark.parametrize("segments", ["ts", "cmaf"])
@pytest.mark.parametrize("name", [*UNEVEN, "last picture of 5 s"])
def test_a_playlist_is_as_long_as_its_film(
    clip: Clip, encode: Encode, tmp_path: Path, name: str, segments: str
) -> None:
    size = {"width": 160, "height": 90}
    if name in UNEVEN:
        source = clip("a.mkv", **size, **UNEVEN[name])
    else:
        source = with_last_picture_of(5, clip("a.mp4", seconds=1, audio=False, **size), tmp_path / "a.mp4")
    made = encode(source, profile=LECTURE.model_copy(update={"segments": segments}).model_dump(mode="json"))

    playlists = made.files("playlist") + made.files("audio_playlist")
    assert len(playlists) == (2 if segments == "cmaf" and made.files("audio") else 1)
    targets = set()
    for path in playlists:
        text = path.read_text()
        lengths = [segment.seconds for segment in read_segments(text)]
        assert sum(lengths) == pytest.approx(made.output.facts["duration"], abs=0.022), path.name  # an AAC frame
        targets.add(int(text.split("TARGETDURATION:")[1].split("\n")[0]))
        assert max(math.floor(length + 0.5) for length in lengths) <= min(targets)
    assert len(targets) == 1


def test_a_playlist_of_sound_that_ends_before_the_picture_goes_on_in_silence(
    clip: Clip, encode: Encode, look: Any
) -> None:
    profile = LECTURE.model_copy(update={"segments": "cmaf"}).model_dump(mode="json")
    made = encode(clip("a.mkv", **UNEVEN["sound ends early"], width=160, height=90), profile=profile)

    assert look(made.files("audio_playlist")[0]).sound_end == pytest.approx(4.4, abs=0.05)


def test_the_first_segment_begins_with_the_film_not_with_the_first_picture(clip: Clip, encode: Encode) -> None:
    made = encode(clip("a.mkv", **UNEVEN["pictures begin late"], width=160, height=90), profile="lecture")

    lengths = [segment.seconds for segment in read_segments(made.files("playlist")[0].read_text())]
    assert lengths == pytest.approx([2, 2.016], abs=0.02)


def with_last_picture_of(seconds: float, source: Path, target: Path) -> Path:
    """Copy a film, and have its container say that its last picture is shown for so long."""
    with av.open(str(source)) as given, av.open(str(target), "w") as copy:
        stream = copy.add_stream_from_template(given.streams.video[0])
        packets = [packet for packet in given.demux(video=0) if packet.size]
        last = max(packets, key=lambda packet: packet.pts or 0)
        last.duration = round(seconds / last.time_base)
        for packet in packets:
            packet.stream = stream
            copy.mux_one(packet)
    return target
