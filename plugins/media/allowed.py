"""Which demuxers and decoders of libav may see a stranger's file: what lecture recorders, cameras and archives write.

libav knows 360 containers and 480 decoders, most of them of games and of formats that nobody records in, and each is a
parser written in C. A site that needs one more names it in `[plugin.media]`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.stream import Stream

#: Containers, by libav's names of their demuxers.
FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "mpegts", "mpeg", "avi", "asf", "flv", "ogg"),
    *("mxf", "gxf", "dv", "nut", "rm", "wav", "w64", "aiff", "caf", "au", "flac", "mp3", "aac", "ac3", "eac3", "amr"),
    *("ape", "wv"),
)

#: Demuxers that open further files or addresses, that read a device, or that make a film of any text or bytes: not
#: even a setting allows them, for with them an upload has other files of the server read.
NEVER = frozenset(
    {
        *("hls", "applehttp", "dash", "concat", "imf", "webm_dash_manifest", "sdp", "rtp", "rtsp", "sap"),
        *(
            "image2",
            "image2pipe",
            "alias_pix",
            "brender_pix",
            "vobsub",
            "avisynth",
            "vapoursynth",
            "lavfi",
            "libopenmpt",
        ),
        *("v4l2", "video4linux2", "x11grab", "fbdev", "kmsgrab", "alsa", "oss", "pulse", "jack", "libcdio", "dvdvideo"),
        *("tty", "bin", "xbin", "adf", "idf", "data", "ffmetadata", "rawvideo", "bitpacked", "libgme", "libmodplug"),
    }
)

#: Codecs, by libav's names, `*` for any letters.
_VIDEO = (
    *("h264", "hevc", "av1", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "h261", "h263", "h263p", "h263i"),
    *("mjpeg", "mjpegb", "jpeg2000", "prores", "dnxhd", "dvvideo", "cfhd", "hap", "hq_hqa", "hqx", "cllc", "aic"),
    *("pixlet", "ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "lagarith", "rawvideo", "v210", "v210x", "v308"),
    *("v408", "v410", "r210", "r10k", "yuv4", "theora", "vp3", "vp6", "vp6a", "vp6f", "flv1", "svq1", "svq3", "qtrle"),
    *("rpza", "smc", "8bps", "cinepak", "indeo2", "indeo3", "indeo4", "indeo5", "rv10", "rv20", "rv30", "rv40"),
    *(
        "wmv1",
        "wmv2",
        "wmv3",
        "vc1",
        "msmpeg4v1",
        "msmpeg4v2",
        "msmpeg4v3",
        "msvideo1",
        "msrle",
        "png",
        "gif",
        "speedhq",
    ),
    # What recorders of screens write: Windows Media Encoder, Camtasia, CamStudio, GoToMeeting, Expression Encoder,
    # Adobe Connect, VMware and others.
    *("mss1", "mss2", "tscc", "tscc2", "cscd", "g2m", "mts2", "mscc", "rscc", "screenpresso", "flashsv", "flashsv2"),
    *("vmnc", "zmbv", "zlib", "fraps"),
)
_AUDIO = (
    *("aac", "aac_latm", "mp1", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "mlp", "opus", "vorbis", "speex", "flac"),
    *("alac", "wavpack", "ape", "tta", "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "pcm_*", "adpcm_*"),
    *("s302m", "amr_nb", "amr_wb", "gsm", "gsm_ms", "ilbc", "qcelp", "evrc", "g723_1", "g729", "truespeech", "qdm2"),
    *("qdmc", "mace3", "mace6", "nellymoser", "cook", "sipr", "ra_144", "ra_288", "atrac3"),
)
#: Those that output/cue_text.py reads; and those made of pictures, which are told and left alone.
_SUBTITLES = ("subrip", "ass", "mov_text", "webvtt", "text")
CODECS = (*_VIDEO, *_AUDIO, *_SUBTITLES)

#: What ends the names of decoders that need a graphics card or a device.
_HARDWARE = ("_cuvid", "_qsv", "_v4l2m2m", "_amf", "_mediacodec", "_rkmpp")


def is_never(name: str) -> bool:
    """Tell a demuxer that is taken under no circumstances; all that read single pictures are."""
    return name in NEVER or name.endswith("_pipe")


def codec_of(stream: Stream) -> str | None:
    """Return libav's name of a track's codec; None where it has no decoder for it."""
    return stream.codec_context.codec.canonical_name if stream.codec_context else None


def takes(codec: str, more: Sequence[str] = ()) -> bool:
    """Tell whether a codec may be decoded; `more` are those that the site adds."""
    return any(fnmatchcase(codec, one) for one in (*CODECS, *more))


@cache
def decoders(more: tuple[str, ...] = ()) -> str:
    """Return what libav is told by `codec_whitelist`: the decoders of the codecs that are taken."""
    import av

    found = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "r")
        except ValueError:  # an encoder
            continue
        if takes(codec.canonical_name, more) and not name.endswith(_HARDWARE):
            found.append(name)
    return ",".join(found)
