"""Reads Esup-Pod's settings_local.py without executing it, and says what of it becomes which of our settings."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BadCall

#: Where a value goes: a setting, an option of jobs ("options.crf"), or a plugin's setting ("plugin.xapi.lrs_url").
Target = str


def bit_rate(text: str | int) -> int:
    """Read ffmpeg's "1000k"."""
    text = str(text)
    units = {"k": 1000, "m": 1_000_000}
    unit = units.get(text[-1:].lower(), 1)
    return int(float(text[:-1] if unit > 1 else text) * unit)


def _renditions(value: Any) -> list[dict[str, Any]]:
    return [
        {
            "height": int(one["resolution"].split("x")[1]),
            "max_rate": bit_rate(one["maxrate"]),
            "audio_rate": bit_rate(one["audio_bitrate"]),
            "mp4": bool(one["encode_mp4"]),
        }
        for one in value
    ]


def _same(value: Any) -> Any:
    return value


#: What we understand, and how it is written here; Pod's defaults need no line.
USED: Mapping[str, tuple[Target, Callable[[Any], Any]]] = {
    "MEDIA_ROOT": ("media_roots", lambda value: [value]),
    "ENCODING_TRANSCODING_CELERY_BROKER_URL": ("pod_broker_url", _same),
    "XAPI_CELERY_BROKER_URL": ("pod_xapi_broker_url", _same),
    "POD_API_URL": ("pod_api_url", _same),
    "POD_API_TOKEN": ("pod_api_token", _same),
    "XAPI_LRS_URL": ("plugin.xapi.lrs_url", _same),
    "XAPI_LRS_LOGIN": ("plugin.xapi.lrs_login", _same),
    "XAPI_LRS_PWD": ("plugin.xapi.lrs_pwd", _same),
    "VIDEO_RENDITIONS": ("options.renditions", _renditions),
    "FFMPEG_CRF": ("options.crf", float),
    "FFMPEG_PRESET": ("options.preset", _same),
    "FFMPEG_NB_THUMBNAIL": ("options.thumbnails", int),
    "FFMPEG_NB_THREADS": ("threads", int),
    "TRANSCRIPTION_MODEL_PARAM": ("options.models", lambda value: {"WHISPER": value["WHISPER"]}),
    "TRANSCRIPTION_NORMALIZE": ("options.normalize", bool),
    "TRANSCRIPTION_NORMALIZE_TARGET_LEVEL": ("options.normalize_target", float),
}

#: What stays Pod's, or has no place here, and why; by name or by its beginning, the longest first.
IGNORED: Mapping[str, str] = {
    "FFMPEG_CMD": "no ffmpeg is called",
    "FFPROBE_CMD": "no ffprobe is called",
    "FFMPEG_PROFILE": "High, as Esup-Pod's default is",
    "FFMPEG_LEVEL": "chosen by size and rate, so that the files say the truth",
    "FFMPEG_HLS_TIME": "segments of 2 s; give a `profile` to change it",
    "FFMPEG_LIBX": "H.264 by x264",
    "FFMPEG_AUDIO_BITRATE": "192k, as Esup-Pod's default is",
    "FFMPEG_": "a piece of an ffmpeg command, and none is run: options (docs/encode.md) or a plugin do what it did",
    "FFPROBE_": "no ffprobe is called",
    "TRANSCRIPTION_TYPE": "the engine is whichever plugin transcribes; whisper is built in",
    "TRANSCRIPTION_AUDIO_SPLIT_TIME": "long recordings are read in pieces",
    "TRANSCRIPTION_STT_": "captions are cut at sentences, clauses and pauses",
    "CAPTIONS_STRICT_ACCESSIBILITY": "its rules are the default: 40 characters, two lines",
    "USE_": "stays Esup-Pod's own",
    "CELERY_": "the queue inside Esup-Pod stays its own",
    "EMAIL_": "mails stay Esup-Pod's own",
    "ENCODE_": "stays Esup-Pod's own",
    "TRANSCRIPT_VIDEO": "stays Esup-Pod's own",
    "XAPI_ANONYMIZE_ACTOR": "Esup-Pod does it before it sends a statement; ours, done once more, stays off",
    "XAPI_AUTHENTICATED_NAME": "Esup-Pod names the actor before it sends a statement",
    "OPENCAST_": "stays Esup-Pod's own",
}


@dataclass
class Imported:
    """What came of a file."""

    #: Our settings; those of a table by its name, "options" or "plugin.xapi".
    settings: dict[str, Any] = field(default_factory=dict)
    #: By Pod's name: where it went.
    used: dict[str, str] = field(default_factory=dict)
    #: By Pod's name: why it did not.
    ignored: dict[str, str] = field(default_factory=dict)


def read(path: Path, jobs_root: Path) -> Imported:
    """Read the literal assignments of a settings file; `jobs_root` is for our own, as Esup-Pod has no such folder.

    Raises:
        BadCall: it can't be read, or is no Python.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise BadCall(f"{path}: {error.strerror}", path=str(path)) from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadCall(f"{path}: not Python: {error}", path=str(path)) from error
    imported = Imported()
    for name, node in _assignments(tree):
        _take(imported, name, node)
    if broker := imported.settings.get("pod_broker_url") or imported.settings.get("pod_xapi_broker_url"):
        # Our keys have a prefix of their own: one Redis can hold both.
        imported.settings.setdefault("broker_url", broker)
    imported.settings["jobs_root"] = str(jobs_root)
    return imported


def _assignments(tree: ast.Module) -> list[tuple[str, ast.expr]]:
    """Return what is assigned to names of settings, the last one for each; a branch counts, as nobody knows which."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper() and node.value:  # type: ignore[attr-defined]
                found[target.id] = node.value  # type: ignore[attr-defined]
    return list(found.items())


def _take(imported: Imported, name: str, node: ast.expr) -> None:
    if name not in USED:
        reason = max((one for one in IGNORED if name.startswith(one)), key=len, default=None)
        if reason:
            imported.ignored[name] = IGNORED[reason]
        return
    try:
        value = ast.literal_eval(node)
    except ValueError:
        imported.ignored[name] = f"not a literal ({ast.unparse(node)[:60]}): write it into the file by hand"
        return
    if value in ("", None, False) and not isinstance(value, bool):
        imported.ignored[name] = "empty"
        return
    target, convert = USED[name]
    try:
        converted = convert(value)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        imported.ignored[name] = f"not of the form that Esup-Pod documents ({error})"
        return
    section, _, key = target.rpartition(".")
    (imported.settings.setdefault(section, {}) if section else imported.settings)[key] = converted
    imported.used[name] = target


def to_toml(settings: Mapping[str, Any], source: Path) -> str:
    """Write settings as amphipod.toml."""
    tables = {
        name: table
        for name, table in settings.items()
        if name in {target.rpartition(".")[0] for target, _ in USED.values()}
    }
    plain = {name: value for name, value in settings.items() if name not in tables}
    lines = [f"# From {source.name}, by `amphipod pod import-settings`.", *map(_line, plain.items())]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *map(_line, table.items())]
    return "\n".join(lines) + "\n"


#: What a reader of the file must know of a setting.
_COMMENTS = {
    "jobs_root": "# One folder for all hosts of Amphipod: mount it on each. Not below MEDIA_ROOT, which the web shows."
}


def _line(item: tuple[str, Any]) -> str:
    line = f"{item[0]} = {_toml(item[1])}"
    return f"{_COMMENTS[item[0]]}\n{line}" if item[0] in _COMMENTS else line


def _toml(value: Any) -> str:
    """Write a value; TOML's strings, numbers and booleans are JSON's."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
