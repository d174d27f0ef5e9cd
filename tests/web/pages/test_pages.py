"""What each page says, and what a person does there, without a browser; tests/browser has one."""

from __future__ import annotations

import gzip
import re
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import BadSource
from core.pipeline.planning import Host
from core.plugin_host.manager import Manager
from core.settings import Settings
from core.storage import job_state
from core.storage.job_folder import JobFolder
from core.web import tokens
from core.web.app import build

from ...conftest import TOY_ENGINE, InstallPlugin
from .conftest import NOT_A_FILM, Browser, MakeJob

NO_WEIGHTS = """
    from core import hookimpl
    from core.errors import EngineMissing

    @hookimpl
    def transcribe(): ...

    @hookimpl
    def write_captions(): ...

    @hookimpl
    def check_step():
        raise EngineMissing("no weights are here", remedy="fetch them")
"""

#: At a public address, which nothing here asks.
FILM = "http://93.184.216.34/lecture.mp4"

PAGES = ("/", "/jobs", "/workers", "/records", "/health", "/submit", "/login")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_one_of_each_landmark_one_heading_and_no_id_twice(browser: Browser, path: str) -> None:
    page = browser.page(path)
    tags = [tag for tag, _ in page.elements]
    assert [tags.count(tag) for tag in ("html", "title", "main", "header", "footer", "h1")] == [1] * 6
    assert len(page.ids) == len(set(page.ids))
    assert page.all("a", class_="skip", href="#main")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_on_a_page_is_from_elsewhere_or_inline(browser: Browser, make: MakeJob, path: str) -> None:
    make(error=NOT_A_FILM)
    page = browser.page(path)
    for tag, about in page.elements:
        assert not any(name == "style" or name.startswith("on") for name in about), (tag, about)
        for name in ("src", "href", "action"):
            assert not (about.get(name) or "").startswith(("http:", "https:", "//")), (tag, about)
        assert tag != "script" or about.get("src") or about.get("type") == "application/json"


def test_a_newcomer_sees_where_to_drop_a_film(browser: Browser) -> None:
    page = browser.page("/")
    assert page.all("input", type="file")
    assert "Drop lectures here" in page.text
    assert "Nothing runs. What is dropped above is encoded on this machine." in page.text


def test_the_overview_says_what_waits_and_why_the_last_one_failed_with_its_remedy(
    browser: Browser, make: MakeJob
) -> None:
    make()
    failed = make("intro", error=NOT_A_FILM)
    page = browser.page("/")
    assert "1 waiting" in page.text
    assert "1 failed in 24 h" in page.text
    assert "/media/intro.mov is not an audio or video file" in page.text
    assert "upload a recording that a media player can play" in page.text
    assert page.all("form", action=f"/jobs/{failed.id}/retry")


def test_the_list_is_searched_and_filtered_and_says_so_when_nothing_is_like_that(
    browser: Browser, make: MakeJob
) -> None:
    make("Thermodynamics 4")
    make("Soutenance L3", error=NOT_A_FILM)
    titles = [about["data-title"] for about in browser.page("/jobs").all("li", class_="row")]
    assert titles == ["Soutenance L3", "Thermodynamics 4"]
    assert [about["data-title"] for about in browser.page("/jobs?q=thermo").all("li", class_="row")] == [
        "Thermodynamics 4"
    ]
    assert [about["data-title"] for about in browser.page("/jobs?state=failed").all("li", class_="row")] == [
        "Soutenance L3"
    ]
    assert "No job is like that." in browser.page("/jobs?q=botany").text


@pytest.mark.parametrize("query", ["state=nonsense", "limit=x", "since=never", "step=%00", "q=" + 300 * "a"])
def test_an_address_that_was_changed_by_hand_still_shows_a_list(browser: Browser, query: str) -> None:
    assert "Jobs" in browser.page(f"/jobs?{query}").text


def test_a_long_list_goes_on_on_the_next_page(browser: Browser, make: MakeJob) -> None:
    for number in range(5):
        make(f"Lecture {number}")
    first = browser.page("/jobs?limit=3")
    assert len(first.all("li", class_="row")) == 3
    more = first.all("a", rel="next")[0]["href"]
    assert more
    assert [about["data-title"] for about in browser.page(more).all("li", class_="row")] == ["Lecture 1", "Lecture 0"]


def test_a_failed_job_says_why_what_to_do_and_has_its_story(browser: Browser, make: MakeJob) -> None:
    page = browser.page(f"/jobs/{make(error=NOT_A_FILM).id}")
    assert "/media/intro.mov is not an audio or video file upload a recording that a media player can play" in page.text
    assert "submitted" in page.text
    assert "failed" in page.text
    assert "Nothing was made" not in page.text


def test_a_job_that_is_done_lists_its_files_with_their_sizes(browser: Browser, done: JobFolder) -> None:
    page = browser.page(f"/jobs/{done.id}")
    assert page.all("a", href=f"/api/v1/jobs/{done.id}/files/360p.mp4")
    assert "4 B" in page.text
    assert "toy (amphipod-toy 1.0)" in page.text


def test_words_of_files_and_portals_are_never_markup(browser: Browser, make: MakeJob) -> None:
    name = "<script>alert(1)</script>"
    folder = make(name, error=BadSource(f"{name} is empty", remedy=f"`amphipod {name}`"))
    for path in ("/", "/jobs", f"/jobs/{folder.id}"):
        assert "<script>alert" not in browser.page(path).html


def test_a_job_is_cancelled_and_tried_again_from_its_page(browser: Browser, make: MakeJob) -> None:
    folder = make()
    page = browser.press(f"/jobs/{folder.id}/cancel", then=f"/jobs/{folder.id}")
    assert "1 job cancelled" in page.text
    assert job_state.fold(folder).state == "cancelled"
    page = browser.press(f"/jobs/{folder.id}/retry", then=f"/jobs/{folder.id}")
    assert "1 job is tried again" in page.text
    assert folder.run() == 2


def test_a_step_that_failed_has_a_button_of_its_own(browser: Browser, make: MakeJob) -> None:
    folder = make(error=NOT_A_FILM)
    page = browser.page(f"/jobs/{folder.id}")
    assert "Retry encode" in page.text
    assert page.all("input", name="step", value="encode")
    browser.press(f"/jobs/{folder.id}/retry", step="encode")
    assert job_state.retried_step(folder, 1) == "encode"
    assert not browser.page(f"/jobs/{folder.id}").all("input", name="step")


def test_several_jobs_are_tried_again_and_why_one_was_not_is_said(browser: Browser, make: MakeJob) -> None:
    jobs = [make(error=NOT_A_FILM).id, make(error=NOT_A_FILM).id, make().id]
    page = browser.press("/jobs/retry", job=jobs, then="/jobs?state=open")
    assert "2 jobs are tried again" in page.text
    assert f"job {jobs[2]} is waiting: only a failed or cancelled job can be tried again" in page.text


def test_a_job_that_is_over_is_deleted(browser: Browser, make: MakeJob) -> None:
    folder = make(error=NOT_A_FILM)
    assert "1 job deleted" in browser.press(f"/jobs/{folder.id}/delete", then="/jobs").text
    assert not folder.path.exists()


def test_who_is_sent_back_stays_here(browser: Browser) -> None:
    for wrong in ("https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example/", "elsewhere"):
        answer = browser.send("POST", "/preferences", data={"then": wrong}, follow=False)
        assert answer.headers["location"] == "/"


def test_what_is_not_there_is_a_page_with_a_way_out(browser: Browser) -> None:
    page = browser.page("/jobs/nothing", status=404)
    assert "no job nothing" in page.text
    assert page.all("a", href="/")
    assert "no /nowhere here" in browser.page("/nowhere", status=404).text


# Submitting


def test_a_film_is_sent_with_the_form_where_there_is_no_javascript(browser: Browser) -> None:
    page = browser.press("/submit", step="encode", files={"file": ("lecture.mp4", b"a lecture", "video/mp4")})
    assert "lecture.mp4" in page.text
    assert "waiting" in page.text


def test_what_was_uploaded_before_becomes_a_job_with_its_options(browser: Browser, toy_host: Host) -> None:
    upload = browser.send("POST", "/api/v1/uploads?name=lecture.mp4", content=b"a lecture").json()["id"]
    do = '{"write": "hello"}'
    page = browser.press("/submit", upload=upload, step="encode", language="fr", option__do=do, option__crf="")
    folder = next(iter((toy_host.settings.jobs_root / "jobs").iterdir()))
    job = JobFolder(toy_host.settings.jobs_root, folder.name).job()
    assert (job.language, job.options) == ("fr", {"do": {"write": "hello"}})
    assert "lecture.mp4" in page.text


def test_title_folder_priority_and_who_is_told_go_with_the_film(toy_host: Host, tmp_path: Path) -> None:
    (tmp_path / "lecture.mp4").write_text("a lecture")
    secret = SecretStr("hush")
    settings = toy_host.settings.model_copy(update={"media_roots": (tmp_path,), "webhook_secret": secret})
    Browser(build(settings, toy_host.manager)).press(
        "/submit",
        source="lecture.mp4",
        step="encode",
        title="Optics 1",
        output="0042",
        priority="high",
        notify="https://193.54.1.1/told",
    )
    (folder,) = (toy_host.settings.jobs_root / "jobs").iterdir()
    job = JobFolder(toy_host.settings.jobs_root, folder.name).job()
    assert (job.attributes, job.output, job.priority) == ({"title": "Optics 1"}, tmp_path / "0042", "high")
    assert [one.url for one in job.callbacks] == ["https://193.54.1.1/told"]


def test_slides_that_are_sent_too_make_a_studio_job_of_both(settings: Settings) -> None:
    film, slides = ("talk.mp4", b"a talk", "video/mp4"), ("slides.mp4", b"slides", "video/mp4")
    browser = Browser(build(settings, Manager(settings)))
    browser.press("/submit", step="encode", files={"file": film, "presentation-file": slides})
    (folder,) = (settings.jobs_root / "jobs").iterdir()
    job = JobFolder(settings.jobs_root, folder.name).job()
    assert job.steps == ("compose", "encode")
    assert [(one.role, one.path.name) for one in job.sources] == [
        ("presenter", "talk.mp4"),
        ("presentation", "slides.mp4"),
    ]


def test_two_films_with_one_folder_are_two_jobs_too_many(browser: Browser) -> None:
    films = [("file", (name, b"a lecture", "video/mp4")) for name in ("a.mp4", "b.mp4")]
    assert "submit that lecture alone" in browser.press("/submit", status=400, files=films, output="0042").text


def test_a_film_that_was_sent_is_not_asked_for_again_when_a_word_of_the_form_is_wrong(browser: Browser) -> None:
    upload = browser.send("POST", "/api/v1/uploads?name=lecture.mp4", content=b"a lecture").json()["id"]
    page = browser.press("/submit", status=400, upload=upload, step="encode", priority="at once")
    assert page.all("input", type="hidden", name="upload", value=upload)
    assert "lecture.mp4 is here already" in page.text


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "no lecture was named"),
        ({"source": FILM, "notify": "ftp://portal"}, 400, "notify.0: must match"),
        ({"source": FILM, "notify": "https://193.54.1.1/"}, 400, "set AMPHIPOD_WEBHOOK_SECRET"),
        ({"source": FILM, "notify": "http://127.0.0.1:1/"}, 400, "name the host in AMPHIPOD_NOTIFY_HOSTS"),
        ({"source": "a.mp4", "priority": "soon"}, 400, "priority: must be 'high', 'normal' or 'low'"),
        ({"source": "a.mp4", "output": "/etc"}, 400, "no paths are taken here"),
        ({"source": "/etc/passwd"}, 400, "no paths are taken here"),
        ({"source": "http://127.0.0.1:1/a.mp4"}, 400, "is at a private address"),
        ({"upload": "f" * 32}, 400, "no upload"),
        ({"upload": "../../etc"}, 400, "no upload"),
    ],
)
def test_what_can_not_be_a_job_is_said_beside_the_form(
    browser: Browser, fields: dict[str, Any], status: int, words: str
) -> None:
    page = browser.press("/submit", status=status, **{"step": "encode", **fields})
    assert words in page.text
    assert page.all("input", name="source", value=fields.get("source", ""))


def test_the_options_of_the_engines_come_from_their_own_schema(settings: Settings) -> None:
    page = Browser(build(settings, Manager(settings))).page("/submit")
    assert page.all("input", name="option:thumbnails", type="number", min="2", max="20", placeholder="3")
    assert page.all("select", name="option:loudness")
    assert {"pod", "lecture"} <= set(page.html.replace("<option>", " ").replace("</option>", " ").split())
    assert "Options of transcribe" in page.text


# Who may


def token(host: Host, scope: tokens.Scope) -> str:
    return tokens.create(host.settings.jobs_root, scope)[1]


def test_with_a_token_made_a_browser_logs_in_by_it_and_out_again(browser: Browser, toy_host: Host) -> None:
    made = token(toy_host, "manage")
    assert "Log in" in browser.page("/jobs", status=401).text
    assert "this token is not valid" in browser.press("/login", status=401, token="amp_0_x", then="/jobs").text
    assert "Jobs" in browser.press("/login", token=made, then="/jobs").text
    browser.press("/logout")
    assert "Log in" in browser.page("/jobs", status=401).text


def test_who_may_only_read_sees_no_buttons_and_can_press_none(browser: Browser, toy_host: Host, make: MakeJob) -> None:
    folder = make(error=NOT_A_FILM)
    browser.press("/login", token=token(toy_host, "read"))
    for path in ("/", "/jobs", f"/jobs/{folder.id}"):
        pressed = [about["action"] for about in browser.page(path).all("form", method="post")]
        assert set(pressed) <= {"/preferences", "/logout", "/jobs/retry"}
    page = browser.press(f"/jobs/{folder.id}/retry", status=403)
    assert "this token may read, not manage" in page.text
    browser.page("/submit", status=403)


# Languages, colours, weight


def test_the_language_is_the_browsers_until_one_is_chosen(browser: Browser) -> None:
    assert "Aperçu" in browser.page("/", language="fr-CH, fr;q=0.9, en;q=0.8").text
    assert "Overview" in browser.page("/", language="de").text
    assert "Travaux" in browser.press("/preferences", language="fr", then="/jobs").text
    assert browser.page("/").all("html", lang="fr")


def test_reasons_and_remedies_are_french_too_and_names_are_not(browser: Browser, make: MakeJob) -> None:
    page = browser.page(f"/jobs/{make(error=NOT_A_FILM).id}", language="fr")
    assert "/media/intro.mov n’est pas un fichier audio ou vidéo" in page.text
    assert "déposez un enregistrement qu’un lecteur multimédia sait lire" in page.text


def test_colours_are_the_systems_until_some_are_chosen(browser: Browser) -> None:
    assert "data-theme" not in browser.page("/").elements[0][1]
    browser.press("/preferences", theme="dark")
    assert browser.page("/").all("html", data_theme="dark")
    browser.press("/preferences", theme="auto")
    assert not browser.page("/").all("html", data_theme="dark")


def test_a_full_list_weighs_less_than_60_kb_with_all_that_it_loads(browser: Browser, make: MakeJob) -> None:
    for number in range(50):
        make(f"Lecture {number}", error=NOT_A_FILM)
    page = browser.page("/jobs")
    assert len(page.all("li", class_="row")) == 50
    files = [about["src"] for about in page.all("script") if about.get("src")]
    files += [about["href"] for about in page.all("link")]
    loaded = [browser.send("GET", path or "").content for path in files]
    assert sum(len(gzip.compress(one)) for one in (page.html.encode(), *loaded)) < 60_000
    assert len(page.html) < 150_000


def test_a_prefix_of_a_reverse_proxy_stands_before_every_link(toy_host: Host, make: MakeJob) -> None:
    make(error=NOT_A_FILM)
    browser = Browser(build(toy_host.settings, toy_host.manager, root_path="/video"))
    for path in ("/", "/jobs", "/submit"):
        page = browser.page(path)
        for _, about in page.elements:
            for name in ("href", "src", "action", "formaction"):
                link = about.get(name)
                assert link is None or link.startswith(("/video/", "#", "?")), about


# With a broker


@pytest.fixture
def served(toy_service: Settings) -> Browser:
    return Browser(build(toy_service, Manager(toy_service)))


def test_a_queue_that_nobody_reads_says_so_with_the_line_that_starts_a_worker(
    served: Browser, toy_service: Settings
) -> None:
    from core import jobs

    jobs.submit("a.mp4", settings=toy_service)
    for path in ("/", "/workers"):
        page = served.page(path)
        assert "No worker reads encoding. Start one:" in page.text
        assert page.all("button", data_copy="amphipod worker encoding")


def test_workers_are_shown_with_what_they_do_and_what_is_wrong_with_them(
    served: Browser, toy_service: Settings
) -> None:
    from core.queue import workers
    from core.redis import connection

    client = connection.shared(toy_service)
    about = {"pid": 7, "threads": 1, "version": "0.1.0", "beacon": None, "jobs": []}
    workers.beat(client, {"id": "enc-2-7", "host": "enc-2", "queues": ["encoding"], **about})
    workers.beat(
        client,
        {
            "id": "tra-1-7",
            "host": "tra-1",
            "queues": ["transcripting"],
            "fault": "/srv/media is empty on this host",
            **about,
        },
    )
    page = served.page("/workers", language="fr")
    assert "enc-2 encoding" in page.text
    assert "inactif" in page.text
    assert "/srv/media est vide sur cet hôte" in page.text


def test_dead_statements_are_shown_with_reasons_and_sent_again(served: Browser, toy_service: Settings) -> None:
    from core.redis import connection
    from core.statements import dead_letters, submit
    from core.statements.outbox import Entry

    box = submit.outbox(connection.shared(toy_service), submit.INTAKE, toy_service)
    partition = submit.partition_of({"actor": {"mbox": "mailto:a@b.example"}})
    dead_letters.bury(box, partition, [(Entry("1", '{"id": "s-1", "verb": {}}'), "verb.id is missing")])
    assert served.page("/records").all("a", href="/records?store=intake")
    page = served.page("/records?store=intake")
    assert "verb.id is missing" in page.text
    assert "s-1" in page.text
    assert "1 statement is sent again" in served.press("/records/intake/retry").text
    assert len(box.dead) == 0


def test_without_its_redis_a_page_says_so_in_a_line(
    served: Browser, toy_service: Settings, redis_server: object
) -> None:
    redis_server.kill()  # type: ignore[attr-defined]
    begin = time.monotonic()
    page = served.page("/", status=503)
    assert "does not answer" in page.text
    assert time.monotonic() - begin < 10


def test_a_step_that_lacks_something_here_is_left_out_of_a_drop_and_the_story_says_why(
    settings: Settings, install_plugin: InstallPlugin
) -> None:
    install_plugin("toy", TOY_ENGINE)
    install_plugin("silent", NO_WEIGHTS)
    only = settings.model_copy(update={"plugins_only": ("toy", "silent")})
    browser = Browser(build(only, Manager(only)))
    page = browser.press("/submit", files={"file": ("lecture.mp4", b"a lecture", "video/mp4")})
    (folder,) = (settings.jobs_root / "jobs").iterdir()
    assert JobFolder(settings.jobs_root, folder.name).job().steps == ("encode",)
    assert re.search(r"left out: no weights are here: fetch them\s+transcribe", page.text)
    assert "fetch them" in browser.press("/submit", status=400, step="transcribe", source=FILM).text
