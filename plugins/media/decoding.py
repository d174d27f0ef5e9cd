"""Packets decoded. What a damaged one makes libav say, with whatever error number, is about the source alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.packet import Packet
    from av.video.frame import VideoFrame


class Damaged(Exception):
    """A piece of a source can't be used; what comes behind it may be."""


@contextmanager
def damage() -> Iterator[None]:
    """Turn what libav and PyAV say of a packet or a frame into Damaged: nothing in here may write a file.

    Decoders answer with error numbers of the system (AAC with EPERM, H.264 with ENOMEM) and with numbers of nobody.
    """
    try:
        yield
    except (av.error.FFmpegError, ValueError, ArithmeticError) as error:
        raise Damaged(str(error)) from error


def decode(packet: Packet[Any]) -> Sequence[Any]:
    """Return the frames that a packet completes.

    :raises Damaged: it can't be decoded.
    """
    with damage():
        return packet.decode()


def can_be_mixed(frame: AudioFrame) -> bool:
    """Tell whether libswresample makes stereo of a sound: of a number of channels without a layout it may not."""
    try:
        av.AudioResampler("fltp", "stereo").resample(frame)
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def time_of(frame: VideoFrame | AudioFrame) -> Fraction:
    """Return when a frame is shown, in seconds of the file's clock; AVI tells only the order of decoding."""
    stamp = frame.dts if frame.pts is None else frame.pts
    return (stamp or 0) * (frame.time_base or Fraction(0))
