"""A small HTTP server that answers as Esup-Pod 4.1.0 was seen to: the same codes, waits and deletions."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import webvtt

from .importer import Imported, load

TOKEN = "staff-token"


@dataclass
class Video:
    """The columns that matter."""

    in_progress: bool = True
    step: str = "2: start remote encoding"
    imported: Imported | None = None
    imports: int = 0
    captions: str = ""
    log: str = ""
    mails: int = 0


@dataclass
class Recording:
    comment: str = ""
    moved: Path | None = None
    error_mails: int = 0


@dataclass
class Call:
    method: str
    path: str
    body: Any
    status: int
    token: str


class NotFound(Exception):
    pass


class Refused(Exception):
    pass


@dataclass
class FakePod:
    media_root: Path
    #: Seconds that it waits for info_video.json; a real one 41.
    patience: float = 0.3
    videos: dict[int, Video] = field(default_factory=dict)
    recordings: dict[int, Recording] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    #: What goes wrong with the next POSTs, one each: a status that a proxy answers, or a word (see `post`).
    faults: deque[int | str] = field(default_factory=deque)
    token: str = TOKEN
    staff: bool = True
    transcript: bool = False
    #: Called before a POST is answered.
    on_post: Callable[[], None] = lambda: None
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/rest/"

    @property
    def posts(self) -> list[Call]:
        return [call for call in self.calls if call.method == "POST"]

    def start(self) -> None:
        pod = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                pod.answer(self, "GET")

            def do_POST(self) -> None:
                pod.answer(self, "POST")

            def log_message(self, *_args: Any) -> None:
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed is no news."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        text = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        token = handler.headers.get("Authorization", "")
        fault = self.faults.popleft() if method == "POST" and self.faults else None
        if method == "POST":
            self.on_post()
        status, answer = self._answer(method, handler.path, text, token, fault)
        try:
            body: Any = json.loads(text) if text else None
        except ValueError:
            body = text.decode()
        self.calls.append(Call(method, handler.path, body, status, token))
        if fault == "silence":
            time.sleep(1.5)
        if fault in ("hang up", "silence"):
            handler.close_connection = True
            return
        handler.send_response(status)
        if status == 301:
            handler.send_header("Location", f"http://127.0.0.1:{self.port}{handler.path}/")
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _answer(self, method: str, path: str, text: bytes, token: str, fault: int | str | None) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if isinstance(fault, int):
            return fault, f"<h1>{fault}</h1>"
        if not parts.path.endswith("/"):
            return 301, ""
        if not parts.path.startswith("/rest/"):
            return (200, "<h1>Welcome</h1>") if method == "GET" else (403, "<h1>CSRF verification failed</h1>")
        if token != f"Token {self.token}":
            return 401, {"detail": "Invalid token."}
        if not self.staff:
            return 403, {"detail": "You do not have permission to perform this action."}
        try:
            if method == "GET":
                return self._get(parts.path)
            return self._post(parts.path.removeprefix("/rest/"), query, text, fault)
        except NotFound:
            return 404, {"detail": "Not found."}
        except Refused as error:
            return 400, f"<h1>{error}</h1>"
        except Exception as error:  # noqa: BLE001  # as Django does
            return 500, f"<h1>{type(error).__name__}: {error}</h1>"

    def _get(self, path: str) -> tuple[int, Any]:
        if path == "/rest/":
            return 200, {"videos": f"{self.url}videos/"}
        if not path.startswith("/rest/videos/"):
            return 405, {"detail": "Method not allowed."}
        video = self._video(path.removeprefix("/rest/videos/").strip("/"))
        return 200, {
            "encoding_in_progress": video.in_progress,
            "get_encoding_step": video.step,
            "encoded": bool(video.imported and video.imported.encoded),
            "duration": video.imported.duration if video.imported else 0,
        }

    def _video(self, number: str) -> Video:
        if int(number) not in self.videos:
            raise NotFound
        return self.videos[int(number)]

    def _post(self, call: str, query: dict[str, str], text: bytes, fault: int | str | None) -> tuple[int, Any]:
        if fault == "500 before":
            raise OSError("database is locked")
        body = json.loads(text)
        if call == "store_remote_encoded_video_studio/":
            return self._store_studio(query, body)
        video = self._video(query.get("id", "0"))
        if call == "store_remote_encoded_video/":
            self._store_encoded(video, query["id"], body, fault)
        elif call == "store_remote_transcripted_video/":
            self._store_transcript(video, query["id"], body)
        else:
            raise NotFound
        return 200, {"id": int(query["id"]), "duration": 0, "encoding_in_progress": True}

    def _store_encoded(self, video: Video, number: str, body: dict[str, Any], fault: int | str | None) -> None:
        if not video.in_progress:
            raise Refused("not being encoded")
        if str(body["video_id"]) != number:
            raise Refused("different ids")
        for name in ("start", "stop", "cut_start", "cut_end"):
            body[name]
        folder = Path(body["video_path"]).parent / f"{int(number):04}"
        end = time.monotonic() + self.patience
        while not (folder / "info_video.json").exists():
            if time.monotonic() > end:
                raise FileNotFoundError(folder)
            time.sleep(0.02)
        video.step = "3: store encoding info"
        video.imports += 1
        video.imported = load(folder, delete_thumbnails=True)
        video.in_progress, video.step = False, "0: end of encoding"
        if fault == "mail down":
            raise ConnectionRefusedError("SMTP")
        video.mails += 1
        if fault == "broker down":
            video.in_progress, video.step = True, "5: transcripting audio"
            raise ConnectionRefusedError("Redis")
        if self.transcript:
            video.in_progress = True

    def _store_transcript(self, video: Video, number: str, body: dict[str, Any]) -> None:
        if str(body["video_id"]) != number:
            raise Refused("different ids")
        video.log += body["msg"]
        place = self.media_root / "temp" / Path(body["temp_vtt_file"]).name
        captions = webvtt.read(str(place))
        video.captions = place.read_text() if len(captions) else "Output size is 0"
        place.unlink()
        video.in_progress, video.step = False, "0: done"
        video.mails += 1

    def _store_studio(self, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if int(query["recording_id"]) not in self.recordings:
            raise NotFound
        recording, film = self.recordings[int(query["recording_id"])], Path(body["video_output"])
        recording.comment += body["msg"]
        if film.exists():
            recording.moved = self.media_root / "videos" / f"{film.stem}_stored.mp4"
            recording.moved.parent.mkdir(parents=True, exist_ok=True)
            film.rename(recording.moved)
        else:
            recording.error_mails += 1
        return 200, "ok"
