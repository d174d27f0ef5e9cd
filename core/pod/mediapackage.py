"""A studio's recording as Opencast describes it: an XML file that names the takes, the layout and the cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

import structlog

from core.errors import BadCall, BadSource, OutOfReach
from core.http import strangers
from core.http.client import Answer, get
from core.settings import Settings

Role = Literal["presenter", "presentation"]

#: By the type of a track; others are previews and the like.
ROLES: Mapping[str, Role] = {"presenter/source": "presenter", "presentation/source": "presentation"}

#: The layouts that Esup-Pod knows (recorder/plugins/type_studio.py); any other name means its default.
LAYOUTS = ("mid", "piph", "pipb")

#: Seconds: eleven days.
LONGEST = 1_000_000

_CUT = "smil/cutting"

_log = structlog.get_logger()


@dataclass(frozen=True)
class Mediapackage:
    """What one says; addresses are absolute."""

    #: The last track of each role, as Esup-Pod takes it.
    takes: Mapping[Role, str]
    layout: str
    #: `clip_start` and `clip_end` in seconds, those that there are.
    clip: Mapping[str, float] = field(default_factory=dict)


def layout_of(name: object) -> str:
    """Return the layout of this name, Esup-Pod's default if it has none."""
    return str(name) if name in LAYOUTS else LAYOUTS[0]


def fetch(url: str, settings: Settings, allow: Callable[[str], str]) -> Mediapackage:
    """Read the description at an address. `allow` gives back an address, or raises BadCall if it may not be fetched.

    Raises:
        BadCall: it is none, names no take, or an address that may not be fetched.
        OutOfReach: it, or the description of its cut, can't be fetched now.
    """
    root = _xml(url, _get(url, settings))
    addresses: dict[str, str] = {}
    for element in root.iter():
        if _name(element) in ("track", "catalog"):
            address = next((one.text for one in element if _name(one) == "url"), None)
            addresses[element.get("type", "")] = urljoin(url, (address or "").strip())
    takes = {role: allow(addresses[kind]) for kind, role in ROLES.items() if kind in addresses}
    if not takes:
        raise BadCall(f"{url} names no take")
    clip = _clip(allow(addresses[_CUT]), settings) if _CUT in addresses else {}
    return Mediapackage(takes, layout_of(root.get("presenter")), clip)


def _get(url: str, settings: Settings) -> Answer:
    try:
        return get(url, {}, settings, only_public=strangers.is_one(url, settings))
    except BadSource as error:
        raise BadCall(error.message, remedy=error.remedy) from error


def _xml(url: str, answer: Answer) -> ET.Element:
    if answer.status != 200:
        raise OutOfReach(f"{url} can't be fetched ({answer.words})")
    try:
        return ET.fromstring(answer.body)  # noqa: S314  # nosec B314  # expat >= 2.4.1 limits what entities expand to
    except ET.ParseError as error:
        raise BadCall(f"{url} is no XML ({error})") from error


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _clip(url: str, settings: Settings) -> dict[str, float]:
    """Read the first cut of a SMIL file; one that is gone leaves the recording whole, as it does in Esup-Pod."""
    answer = _get(url, settings)
    if answer.status in (404, 410):
        _log.warning("recording is not cut: its cut is gone", url=url, answer=answer.words)
        return {}
    video = next((one for one in _xml(url, answer).iter() if _name(one) == "video"), None)
    if video is None:
        return {}
    times = {"clip_start": video.get("clipBegin"), "clip_end": video.get("clipEnd")}
    return {name: _seconds(value) for name, value in times.items() if value}


def _seconds(text: str) -> float:
    """Read SMIL's "12.5s" and "00:01:30.5"."""
    if not re.fullmatch(r"\s*(\d+(\.\d*)?s?|\d+:\d+:\d+(\.\d*)?)\s*", text):
        raise BadCall(f"{text!r} is no time of a cut")
    seconds = 0.0
    for part in text.strip().removesuffix("s").split(":"):
        seconds = seconds * 60 + float(part)
    return in_range(seconds)


def in_range(seconds: float) -> float:
    """Return a place in a recording if there can be such a one: numbers of JSON may have no end, or be none.

    Raises:
        BadCall
    """
    if not 0 <= seconds <= LONGEST:
        raise BadCall(f"{seconds:g} s is no place in a recording")
    return seconds
