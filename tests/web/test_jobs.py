"""Jobs by the API, on a server that does them itself."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from core.settings import Settings
from core.storage import job_folder

from ..service.conftest import child_of, is_alive, until
from .conftest import OpenSite, Site


def test_what_somebody_puts_in_the_place_of_a_published_file_is_not_handed_out(
    site: Site, media: Path, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "360p.mp4").write_text("s3cret")
    body = {"source": {"path": "a.mp4"}, "steps": ["encode"], "output": "out"}
    job = str(site("POST", "/jobs", json=body).json()["id"])
    site.wait(job, "succeeded")
    published = media / "out" / "360p.mp4"

    published.unlink()
    os.mkfifo(published)
    assert site.refused("GET", f"/jobs/{job}/files/360p.mp4")[0] == 409
    published.unlink()
    published.symlink_to(tmp_path / "secrets" / "360p.mp4")
    assert "leads through a link" in site.refused("GET", f"/jobs/{job}/files/360p.mp4")[1]
    shutil.rmtree(media / "out")
    (media / "out").symlink_to(tmp_path / "secrets")
    assert "leads out of the media roots" in site.refused("GET", f"/jobs/{job}/files/360p.mp4")[1]


def test_a_job_from_path_to_file(site: Site) -> None:
    job = site.submit(write="0123456789")

    row = site.wait(job, "succeeded")
    assert (row["title"], row["source"]) == ("a.mp4", "a.mp4")
    (file,) = site("GET", f"/jobs/{job}/files").json()
    assert (file["name"], file["size"], file["url"]) == ("360p.mp4", 10, f"/api/v1/jobs/{job}/files/360p.mp4")
    assert site("GET", f"/jobs/{job}/files/360p.mp4").text == "0123456789"
    whole = site("GET", f"/jobs/{job}").json()
    assert whole["steps"][0]["engine"]["plugin"] == "toy"
    events = [line["event"] for line in site("GET", f"/jobs/{job}/story").json()["lines"]]
    assert events[0] == "submitted"


RANGES = (
    ("bytes=2-4", 206, "234", "bytes 2-4/10"),
    ("bytes=8-", 206, "89", "bytes 8-9/10"),
    ("bytes=-3", 206, "789", "bytes 7-9/10"),
    ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
    ("bytes=1-2,4-5", 200, "0123456789", None),
    ("bytes=x", 200, "0123456789", None),
    ("bytes=10-", 416, None, "bytes */10"),
    ("bytes=5-4", 416, None, "bytes */10"),
)


def test_ranges_of_a_file(site: Site) -> None:
    job = site.submit(write="0123456789")
    site.wait(job, "succeeded")
    for asked, status, content, place in RANGES:
        answer = site("GET", f"/jobs/{job}/files/360p.mp4", headers={"Range": asked})
        assert (answer.status_code, answer.headers.get("content-range")) == (status, place), asked
        if content is not None:
            assert answer.text == content
            assert answer.headers["content-length"] == str(len(content))


def test_a_file_that_has_not_changed_is_not_sent_again(site: Site) -> None:
    job = site.submit()
    site.wait(job, "succeeded")
    first = site("GET", f"/jobs/{job}/files/360p.mp4", headers={"Range": "bytes=1-2"})
    assert first.text == "el"
    etag = first.headers["ETag"]
    assert site("GET", f"/jobs/{job}/files/360p.mp4", headers={"If-None-Match": etag}).status_code == 304
    other = site("GET", f"/jobs/{job}/files/360p.mp4", headers={"Range": "bytes=1-2", "If-Range": '"other"'})
    assert (other.status_code, other.text) == (200, "hello")
    assert site("HEAD", f"/jobs/{job}/files/360p.mp4").headers["Content-Length"] == "5"


def test_only_files_that_a_result_names_are_given_out(site: Site) -> None:
    job = site.submit()
    site.wait(job, "succeeded")
    for name in ("../../request.json", "request.json", "%2e%2e/%2e%2e/request.json", "/etc/passwd", "360p.mp4/.."):
        answer = site("GET", f"/jobs/{job}/files/{name}")
        assert answer.status_code == 404, name


def test_the_list_is_filtered_and_paged(site: Site) -> None:
    jobs = [site.submit(refuse="no film") if number == 1 else site.submit() for number in range(3)]
    for job in jobs:
        site.wait(job, "succeeded", "failed")

    def ids(**query: str) -> list[str]:
        return [row["id"] for row in site("GET", "/jobs", params=query).json()["rows"]]

    assert sorted(ids()) == sorted(jobs)
    assert ids(state="failed") == [jobs[1]]
    assert ids(text="NO film") == [jobs[1]]
    page = site("GET", "/jobs", params={"limit": 2}).json()
    rest = site("GET", "/jobs", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert sorted(row["id"] for row in page["rows"] + rest["rows"]) == sorted(jobs)
    assert rest["next_cursor"] is None
    assert site.refused("GET", "/jobs", params={"state": "lost"})[0] == 400
    assert "limit must be 500 or less" in site.refused("GET", "/jobs", params={"limit": 501})[1]


def test_the_same_key_and_request_are_one_job(site: Site) -> None:
    key = {"Idempotency-Key": "lecture 7"}
    job = site.submit(headers=key)
    assert site.submit(headers=key) == job
    body = {"source": {"path": "a.mp4"}, "steps": ["encode"], "language": "fr"}
    status, words = site.refused("POST", "/jobs", json=body, headers=key)
    assert (status, "different request" in words) == (409, True)


def test_cancel_ends_what_runs_within_two_seconds(site: Site) -> None:
    job = site.submit(sleep=30)
    child = child_of(job)
    until(lambda: site.row(job)["state"] == "running", what="it runs")
    begun = time.monotonic()
    assert site("POST", f"/jobs/{job}/cancel").status_code == 200
    until(lambda: not is_alive(child), 3, "the child has ended")
    assert time.monotonic() - begun < 2
    assert site.wait(job, "cancelled")
    assert site.refused("DELETE", "/jobs/none")[0] == 404


def test_a_job_that_waits_has_its_place_and_is_cancelled_at_once(site: Site) -> None:
    first, second, third = site.submit(sleep=30), site.submit(), site.submit()
    child_of(first)
    assert site("GET", f"/jobs/{third}").json()["place"] == 2
    assert site("GET", "/queues").json()[0]["jobs"] == 2
    assert site("POST", f"/jobs/{second}/cancel").json()["state"] == "cancelled"
    assert site("GET", f"/jobs/{third}").json()["place"] == 1
    site("POST", f"/jobs/{first}/cancel")
    site.wait(third, "succeeded")


def test_a_failed_job_is_tried_again_and_a_done_one_is_not(site: Site) -> None:
    job = site.submit(refuse="no film")
    row = site.wait(job, "failed")
    assert "no film" in row["reason"]
    assert "no step transcribe" in site.refused("POST", f"/jobs/{job}/retry", json={"step": "transcribe"})[1]
    assert site("POST", f"/jobs/{job}/retry", json={"step": "encode"}).status_code == 200
    assert site.wait(job, "failed")["run"] == 2
    done = site.submit()
    site.wait(done, "succeeded")
    assert site.refused("POST", f"/jobs/{done}/retry")[0] == 409
    assert site.refused("POST", f"/jobs/{done}/cancel")[0] == 409
    assert site.refused("POST", f"/jobs/{done}/tell")[0] == 400


def test_a_job_that_is_over_is_deleted_with_its_files(site: Site) -> None:
    job = site.submit(sleep=30)
    child_of(job)
    assert "cancel it first" in site.refused("DELETE", f"/jobs/{job}")[1]
    site("POST", f"/jobs/{job}/cancel")
    until(lambda: site("DELETE", f"/jobs/{job}").status_code == 204, what="it can be deleted")
    assert job not in job_folder.names(site.services.settings.jobs_root)
    assert site.refused("GET", f"/jobs/{job}")[0] == 404


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        ({"path": "/etc/passwd"}, 403, "outside the media roots"),
        ({"path": "../a.mp4"}, 403, "may not climb"),
        ({"path": "link.mp4"}, 403, "outside the media roots"),
        ({"path": "none.mp4"}, 400, "no such file"),
        ({"url": "http://127.0.0.1:6379/"}, 400, "private address"),
        ({"url": "http://169.254.169.254/latest"}, 400, "private address"),
        ({"url": "file:///etc/passwd"}, 400, "no address of the web"),
        ({"upload": "../.."}, 400, "no upload"),
        ({"upload": "0" * 32}, 400, "no upload"),
        ({}, 422, "one of path, url and upload"),
        ({"path": "a.mp4", "url": "http://univ.fr/a"}, 422, "one of path, url and upload"),
    ],
)
def test_a_source_that_may_not_be_is_refused_in_one_line(
    site: Site, media: Path, source: dict[str, str], status: int, words: str
) -> None:
    (media / "link.mp4").symlink_to("/etc/passwd")
    found = site.refused("POST", "/jobs", json={"source": source, "steps": ["encode"]})
    assert (found[0], words in found[1]) == (status, True), found


def test_a_file_that_an_option_names_lies_below_the_media_roots(site: Site, media: Path, tmp_path: Path) -> None:
    (tmp_path / "exam.mp4").write_text("tomorrow's exam")
    (media / "link.mp4").symlink_to(tmp_path / "exam.mp4")
    (media / "logo.png").write_text("a logo")
    for path, status in ((tmp_path / "exam.mp4", 403), (media / "link.mp4", 403), (media / "logo.png", 201)):
        asked = {"source": {"path": "a.mp4"}, "steps": ["encode"], "options": {"do": {"write": str(path)}}}
        answer = site("POST", "/jobs", json=asked)
        assert answer.status_code == status, answer.text


def test_without_media_roots_no_path_is_taken(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here.model_copy(update={"media_roots": ()}))
    assert "AMPHIPOD_MEDIA_ROOTS" in site.refused("POST", "/jobs", json={"source": {"path": "/etc/passwd"}})[1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "is not JSON"),
        (b"[]", "must be a table of names and values"),
        (b'{"source": {"path": "a.mp4"}, "steps": ["encod"]}', "no step encod is known here: did you mean 'encode'?"),
        (b'{"source": {"path": "a.mp4"}, "colour": 1}', "colour is not known"),
        (b'{"source": {"path": "a.mp4"}, "options": 1}', "options must be a table of names and values"),
        (b'{"source": {"path": "a.mp4"}, "correlation_id": "a b"}', "no correlation id"),
        (b'{"source": {"path": "a.mp4"}, "options": ' + b'{"a":' * 3000 + b"1" + b"}" * 3001, "nested"),
        (b"x" * (2 << 20), "more than 1048576 bytes"),
    ],
)
def test_a_wrong_request_is_told_in_our_words(site: Site, body: bytes, words: str) -> None:
    _, found = site.refused("POST", "/jobs", data=body, headers={"Content-Type": "application/json"})
    assert words in found


def test_a_server_takes_up_what_the_one_before_has_left(open_site: OpenSite, here: Settings) -> None:
    site = open_site(here)
    job = site.submit(sleep=1)
    child = child_of(job)
    waiting = site.submit()
    site.services.local.stop()  # type: ignore[union-attr]  # as at a server's end
    until(lambda: not is_alive(child), 3, "what runs has ended")

    again = open_site(here)
    again.wait(job, "succeeded")
    again.wait(waiting, "succeeded")


def test_two_servers_never_do_the_jobs_of_one_folder(site: Site, here: Settings) -> None:
    from core.errors import BadCall
    from core.plugin_host.manager import Manager
    from core.web.services import Services

    other = Services(here, Manager(here)).local
    assert other
    with pytest.raises(BadCall, match="another `amphipod serve`"):
        other.lock()


def test_a_job_that_amphipod_run_does_is_left_to_it(open_site: OpenSite, here: Settings) -> None:
    from core.model import Job, Source
    from core.pipeline import lifecycle
    from core.storage import claim

    job = Job(id="held", sources=(Source(path=here.media_roots[0] / "a.mp4"),), steps=("encode",))
    folder, _ = lifecycle.submit(job, here.jobs_root)
    with claim.held(folder):
        site = open_site(here)
        other = site.submit()
        site.wait(other, "succeeded")
        assert site.row("held")["state"] == "waiting"
