"""Films sent by HTTP: whole or in pieces, never half visible, gone when nobody needs them."""

from __future__ import annotations

import base64
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from core.retention import sweep, uploads
from core.settings import Settings

from ..service.conftest import until
from .conftest import OpenSite, Site

BYTES = {"Content-Type": "application/offset+octet-stream"}


def begin(site: Site, size: int, name: str = "a film.mp4") -> str:
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    answer = site("POST", "/uploads", headers={"Upload-Length": str(size), "Upload-Metadata": metadata})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/api/v1/uploads/{answer.json()['id']}"
    return str(answer.json()["id"])


def append(site: Site, upload: str, offset: int, data: bytes) -> Any:
    return site("PATCH", f"/uploads/{upload}", data=data, headers={**BYTES, "Upload-Offset": str(offset)})


def test_a_film_in_one_go_becomes_a_job(site: Site, media: Path) -> None:
    answer = site("POST", "/uploads", params={"name": "../../Höhe 1.mp4"}, data=b"a film")
    upload = answer.json()
    assert (upload["name"], upload["complete"]) == ("Höhe 1.mp4", True)
    assert (media / "uploads" / upload["id"] / "Höhe 1.mp4").read_bytes() == b"a film"
    job = site("POST", "/jobs", json={"source": {"upload": upload["id"]}, "steps": ["encode"]}).json()["id"]
    assert site.wait(job, "succeeded")["title"] == "Höhe 1.mp4"


def test_a_film_in_pieces_goes_on_where_it_was_and_is_not_seen_before_it_is_whole(site: Site, media: Path) -> None:
    upload = begin(site, 10)
    assert append(site, upload, 0, b"0123").status_code == 204
    assert site.session.head(f"{site.url}/api/v1/uploads/{upload}", timeout=20).headers["Upload-Offset"] == "4"
    assert "go on from 4" in append(site, upload, 2, b"23").json()["detail"]
    assert [path.name for path in (media / "uploads" / upload).iterdir() if path.name[0] != "."] == ["upload.json"]
    status, words = site.refused("POST", "/jobs", json={"source": {"upload": upload}, "steps": ["encode"]})
    assert (status, "4 of 10 bytes" in words) == (409, True)

    done = append(site, upload, 4, b"456789")
    assert done.headers["Upload-Offset"] == done.headers["Upload-Length"] == "10"
    assert (media / "uploads" / upload / "a film.mp4").read_bytes() == b"0123456789"
    assert append(site, upload, 10, b"x").status_code == 409


def test_what_came_before_a_connection_broke_is_kept(site: Site) -> None:
    upload = begin(site, 10)
    port = int(site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        head = (
            f"PATCH /api/v1/uploads/{upload} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nContent-Length: 10\r\n"
        )
        client.sendall(f"{head}Content-Type: {BYTES['Content-Type']}\r\n\r\n01234".encode())
        time.sleep(0.2)
    until(lambda: site("GET", f"/uploads/{upload}").json()["offset"] == 5, 5, "what came is kept")
    assert append(site, upload, 5, b"56789").status_code == 204


def test_a_film_that_is_too_large_is_refused_before_and_while_it_comes(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here.model_copy(update={"web_upload_limit": 10}))
    assert site.refused("POST", "/uploads", headers={"Upload-Length": "11"})[0] == 413
    status, words = site.refused("POST", "/uploads", params={"name": "a.mp4"}, data=b"x" * 11)
    assert (status, "AMPHIPOD_WEB_UPLOAD_LIMIT" in words) == (413, True)
    upload = begin(site, 3)
    assert append(site, upload, 0, b"four").status_code == 413
    assert site.refused("POST", "/uploads", params={"name": "a.mp4"})[0] == 400, "nothing"


def test_an_upload_that_stalls_is_ended_and_goes_on_later(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here.model_copy(update={"web_time_limit": 1.0}))
    upload = begin(site, 10)
    port = int(site.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        head = (
            f"PATCH /api/v1/uploads/{upload} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nContent-Length: 10\r\n"
        )
        client.sendall(f"{head}Content-Type: {BYTES['Content-Type']}\r\n\r\n01234".encode())
        client.settimeout(10)
        answer = "".join(piece.decode() for piece in iter(lambda: client.recv(4096), b""))  # head and body come apart
    assert answer.startswith("HTTP/1.1 408")
    assert "too little came within 1 s" in answer
    assert append(site, upload, 5, b"56789").status_code == 204


def test_a_half_sent_request_is_ended(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here.model_copy(update={"web_time_limit": 1.0}))
    with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2]))) as client:
        client.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        client.settimeout(10)
        assert client.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_half_sent_head_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.web.http import server

    monkeypatch.setattr(server, "HEAD_LIMIT", 0.5)
    with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2]))) as client:
        client.sendall(b"GET /api/v1/jobs HTTP/1.1\r\nHost: local")
        client.settimeout(10)
        assert client.recv(4096) == b""


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("C:\\films\\a.mp4", "a.mp4"),
        ("/etc/passwd", "passwd"),
        (".hidden", "hidden"),
        ("a\x1b[31m\nb.mp4", "a[31mb.mp4"),
        ("x" * 300 + ".mp4", "x" * 196 + ".mp4"),
    ],
)
def test_a_name_leads_nowhere(given: str, name: str) -> None:
    assert uploads.safe_name(given) == name


def test_an_upload_is_kept_while_a_job_needs_it_and_goes_when_abandoned(
    site: Site, media: Path, here: Settings
) -> None:
    hasty = here.model_copy(update={"retain_upload_hours": 1e-9, "sweep_seconds": 0.0})
    half = begin(site, 10)
    needed = site("POST", "/uploads", params={"name": "a.mp4"}, data=b"a film").json()["id"]
    body = {"source": {"upload": needed}, "steps": ["encode"], "options": {"do": {"refuse": "no film"}}}
    job = site("POST", "/jobs", json=body).json()["id"]
    site.wait(job, "failed")
    assert site.refused("DELETE", f"/uploads/{needed}")[0] == 409, "it may be tried again"
    sweep.next_round(hasty)
    assert [path.name for path in (media / "uploads").iterdir()] == [needed]

    site("DELETE", f"/jobs/{job}")
    sweep.next_round(hasty)
    assert not list((media / "uploads").iterdir())
    assert site.refused("GET", f"/uploads/{half}")[0] == 404


def test_what_others_put_in_the_place_of_an_upload_is_neither_written_nor_waited_for(
    site: Site, media: Path, tmp_path: Path
) -> None:
    (tmp_path / "tokens").touch()
    upload = begin(site, 10)
    place = media / "uploads" / upload
    (place / ".part").unlink()
    (place / ".part").symlink_to(tmp_path / "tokens")
    assert "somebody has put something else" in append(site, upload, 0, b"0123").json()["detail"]
    (place / ".part").unlink()
    os.mkfifo(place / ".part")
    assert "somebody has put something else" in append(site, upload, 0, b"0123").json()["detail"]
    (place / ".part").unlink()
    (place / ".part").touch()
    record = (place / "upload.json").read_text()
    (place / "upload.json").write_text(record.replace("a film.mp4", "../../a.mp4"))
    assert append(site, upload, 0, b"0123456789").status_code == 404
    (place / "upload.json").unlink()
    os.mkfifo(place / "upload.json")
    assert site("GET", f"/uploads/{upload}").status_code == 404
    assert ((tmp_path / "tokens").read_text(), (media / "a.mp4").read_text()) == ("", "a lecture")


def test_what_others_put_among_the_uploads_keeps_none_from_being_swept(site: Site, media: Path) -> None:
    upload = begin(site, 10)
    (media / "uploads" / ("0" * 32)).touch()
    (media / "uploads" / ("1" * 32)).symlink_to(media)
    (media / "uploads" / upload / "link").symlink_to("nowhere")
    settings = site.services.settings.model_copy(update={"retain_upload_hours": -1.0})
    assert [found.job for found in uploads.sweep(settings)] == [upload]
    assert (media / "a.mp4").exists()
