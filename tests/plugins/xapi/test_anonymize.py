"""Nothing that identifies a person of the input survives in the output."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.xapi.anonymize import Scheme, anonymised
from plugins.xapi.validation import complaint

ACCOUNT = Scheme(b"a secret", "account", "https://pseudonym.invalid")
MAILBOX = Scheme(b"a secret", "mailbox", "https://univ-demo.fr")

POD = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "service/pod_statements.jsonl").read_text(encoding="utf-8").splitlines()
]

#: As people and systems write them; "qz" keeps them from being words of xAPI itself.
WORDS = st.text("abceéinorstuç", min_size=2, max_size=8).map(lambda word: f"qz{word}")
NAMES = st.builds(lambda first, last: f"{first.title()} {last.upper()}", WORDS, WORDS)
MAILBOXES = st.builds("{}{}@{}.{}".format, WORDS, st.sampled_from(["", ".x", "+y", "_z-1"]), WORDS, st.just("fr"))
ADDRESSES = st.ip_addresses().filter(lambda one: not one.is_unspecified).map(str)
LOGINS = st.builds("{}{}".format, WORDS, st.integers(100, 99_999))


@st.composite
def people(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """An agent, and all that identifies it."""
    name, mailbox, login = draw(NAMES), draw(MAILBOXES), draw(LOGINS)
    kind = draw(st.sampled_from(["mbox", "account", "openid", "mbox_sha1sum"]))
    fields: dict[str, Any] = {
        "mbox": f"mailto:{mailbox}",
        "account": {"homePage": "https://cas.univ-demo.fr", "name": login},
        "openid": f"https://openid.univ-demo.fr/{login}",
        "mbox_sha1sum": hashlib.sha1(login.encode()).hexdigest(),
    }
    said = {"mbox": [mailbox], "account": [login], "openid": [login], "mbox_sha1sum": [fields["mbox_sha1sum"]]}
    agent = {"objectType": "Agent", kind: fields[kind]}
    identifiers = said[kind]
    if draw(st.booleans()):
        agent["name"] = name
        identifiers = [*identifiers, name]
    return agent, identifiers


@st.composite
def statements(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """A statement that names people, mailboxes and addresses in all places where one could."""
    actor, of_actor = draw(people())
    other, of_other = draw(people())
    stray_mailbox, stray_address = draw(MAILBOXES), draw(ADDRESSES)
    every = [*of_actor, *of_other, stray_mailbox, stray_address]

    parts = st.lists(st.sampled_from([*every, "by", "(see", "via"]), max_size=4)
    texts = parts.map(" ".join)
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), texts)
    trees = st.one_of(leaves, st.lists(leaves, max_size=3), st.dictionaries(texts, leaves, max_size=3))
    statement = {
        "id": "6690e6c9-3ef0-4ed3-8b37-7f3964730bee",
        "timestamp": "2026-11-24T10:23:52.527Z",
        "actor": actor,
        "verb": {"id": "https://w3id.org/xapi/video/verbs/played", "display": {"en": draw(texts)}},
        "object": {"id": "https://pod.univ-demo.fr/video/1/", "definition": {"name": {"en": draw(texts)}}},
        "context": {"instructor": other, "team": {"objectType": "Group", "member": [actor, other]}},
        "result": {"response": draw(texts), "extensions": {"https://univ-demo.fr/xapi/notes": draw(trees)}},
    }
    if draw(st.booleans()):
        statement["object"] = {**statement, "objectType": "SubStatement"}
    return statement, every


def survives(identifier: str, text: str) -> bool:
    """Look for whole words, as a reader would: 10.0.0.1 is not in 110.0.0.10."""
    return re.search(rf"(?<![\w.:]){re.escape(identifier)}(?![\w:]|\.\w)", text, re.IGNORECASE) is not None


@settings(deadline=None)
@given(statements(), st.sampled_from([ACCOUNT, MAILBOX]))
def test_no_identifier_survives(given_: tuple[dict[str, Any], list[str]], scheme: Scheme) -> None:
    statement, identifiers = given_
    text = json.dumps(anonymised(statement, scheme), ensure_ascii=False)
    assert not [one for one in identifiers if survives(one, text)]


@settings(deadline=None)
@given(people())
def test_a_person_has_one_pseudonym_and_with_another_key_another(person: tuple[dict[str, Any], list[str]]) -> None:
    agent, _ = person
    named = {**agent, "name": "Another Name"}
    other = Scheme(b"another secret", "account", ACCOUNT.home)
    assert ACCOUNT.pseudonym(agent) == ACCOUNT.pseudonym(named) != other.pseudonym(agent)


def test_a_mailbox_and_its_digest_are_one_person() -> None:
    mailbox = "mailto:ada@univ-demo.fr"
    digest = hashlib.sha1(mailbox.encode()).hexdigest()
    assert ACCOUNT.pseudonym({"mbox": mailbox}) == ACCOUNT.pseudonym({"mbox_sha1sum": digest})


@pytest.mark.parametrize("scheme", [ACCOUNT, MAILBOX])
@pytest.mark.parametrize("statement", POD, ids=lambda one: one["verb"]["id"].rpartition("/")[2])
def test_what_pod_sent_still_validates_and_says_the_same_of_the_video(
    statement: dict[str, Any], scheme: Scheme
) -> None:
    before = json.dumps(statement)
    changed = anonymised(statement, scheme)
    assert json.dumps(statement) == before, "the argument is left alone"
    assert complaint(changed) is None
    kept = ("id", "timestamp", "verb", "result", "context")
    assert {field: changed.get(field) for field in kept} == {field: statement.get(field) for field in kept}


def test_the_two_forms() -> None:
    ada = {"actor": {"name": "Ada Min", "mbox": "mailto:ada.min@univ-demo.fr"}}
    pseudonym = ACCOUNT.pseudonym(ada["actor"])
    assert anonymised(ada, ACCOUNT) == {
        "actor": {"account": {"homePage": "https://pseudonym.invalid", "name": pseudonym}}
    }
    assert anonymised(ada, MAILBOX) == {"actor": {"name": pseudonym, "mbox": f"mailto:{pseudonym}@univ-demo.fr"}}


#: Words of the vocabulary itself; people may have any of them as their login or name.
VOCABULARY = [
    "video",
    "Played",
    "xapi",
    "profile",
    "verbs",
    "w3id.org",
    "extensions",
    "https",
    "audio",
    "choice",
    "tags",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=3), st.sampled_from(["mbox", "account", "name"]))
def test_the_vocabulary_is_left_alone_whatever_people_are_called(names: list[str], kind: str) -> None:
    agents = [
        {
            "mbox": {"mbox": f"mailto:{name}@univ-demo.fr"},
            "account": {"account": {"homePage": "https://cas.univ-demo.fr", "name": name}},
            "name": {"mbox": "mailto:x.y@univ-demo.fr", "name": name},
        }[kind]
        for name in names
    ]
    statement: dict[str, Any] = {
        "actor": agents[0],
        "verb": {"id": "https://w3id.org/xapi/video/verbs/played", "display": {"en": "played"}},
        "object": {
            "id": "https://pod.univ-demo.fr/video/1/",
            "definition": {
                "type": "https://w3id.org/xapi/video/activity-type/video",
                "interactionType": "choice",
                "extensions": {"https://w3id.org/xapi/video/extensions/length": 3},
            },
        },
        "context": {
            "instructor": {"objectType": "Group", "member": agents},
            "contextActivities": {
                "category": [{"id": "https://w3id.org/xapi/video", "definition": {"type": "http://x.org/xapi/profile"}}]
            },
            "extensions": {"https://w3id.org/xapi/video/extensions/tags": {"https://x.org/video": 1}},
        },
        "attachments": [
            {"usageType": "http://x.org/xapi/audio", "contentType": "video/mp4", "length": 1, "sha2": "e0"}
        ],
    }
    expected = anonymised(
        {**statement, "actor": {"name": "qz"}, "context": statement["context"] | {"instructor": {}}}, ACCOUNT
    )
    changed = anonymised(statement, ACCOUNT)
    assert {**changed, "actor": 0, "context": {**changed["context"], "instructor": 0}} == {
        **expected,
        "actor": 0,
        "context": {**expected["context"], "instructor": 0},
    }
    assert {name: changed[name] for name in ("verb", "object", "attachments")} == {
        name: statement[name] for name in ("verb", "object", "attachments")
    }


@pytest.mark.parametrize("statement", POD, ids=lambda one: one["verb"]["id"].rpartition("/")[2])
def test_a_login_video_changes_nothing_of_what_pod_says_but_the_actor(statement: dict[str, Any]) -> None:
    changed = anonymised({**statement, "actor": {"name": "Played", "mbox": "mailto:video@univ-demo.fr"}}, ACCOUNT)
    assert complaint(changed) is None
    assert json.dumps({**changed, "actor": 0}).replace("redacted", "127.0.0.1") == json.dumps({**statement, "actor": 0})


def test_what_stands_where_a_term_belongs_but_is_none_is_no_hiding_place() -> None:
    ada = {"name": "Ada Min", "mbox": "mailto:ada@univ-demo.fr"}
    hidden = {
        "verb": {"id": "mailto:ada@univ-demo.fr"},
        "object": {"definition": {"type": "of Ada Min"}},
        "result": {"extensions": {"by Ada Min": 1, "http://x.org/e": {"id": "ada", "type": "Ada"}}},
    }
    text = json.dumps(anonymised({"actor": ada, **hidden}, ACCOUNT))
    assert not [one for one in ("ada", "Ada Min") if survives(one, text)]


def test_two_keys_that_become_one_word_are_both_kept() -> None:
    said = {"extensions": {"http://x.org/votes": {"a@x.org": 1, "b@x.org": 2}}}
    changed = anonymised({"actor": {"name": "Ada Min"}, "result": said}, ACCOUNT)
    assert changed["result"]["extensions"]["http://x.org/votes"] == {"redacted": 1, "redacted-2": 2}


def test_the_portal_where_somebody_has_an_account_is_nobody() -> None:
    actor = {"account": {"homePage": "https://pod.univ-demo.fr", "name": "ada"}}
    lecture = {"id": "https://pod.univ-demo.fr/video/1/"}
    assert anonymised({"actor": actor, "object": lecture}, ACCOUNT)["object"] == lecture


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Interview with Ada Min", "Interview with redacted"),
        ("ask ada.min@univ-demo.fr or bob@x.org", "ask redacted or redacted"),
        ("https://pod.fr/people/ada.min/", "https://pod.fr/people/redacted/"),
        ("https://pod.fr/?q=ada.min%40univ-demo.fr&x=1", "https://pod.fr/?q=redacted&x=1"),
        ("from 10.1.2.3 and 2001:db8::1", "from redacted and redacted"),
        ("http://10.1.2.3:8000/video/", "http://redacted:8000/video/"),
        ("at 00:01:02, version 1.2.3, 0.000[.]12.000[,]3[.]4", "at 00:01:02, version 1.2.3, 0.000[.]12.000[,]3[.]4"),
        ("Adamin and the minutes", "Adamin and the minutes"),
    ],
)
def test_what_is_taken_out_of_a_text(said: str, left: str) -> None:
    ada = {"name": "Ada Min", "mbox": "mailto:ada.min@univ-demo.fr"}
    assert anonymised({"actor": ada, "result": {"response": said}}, ACCOUNT)["result"] == {"response": left}


# What docs/xapi.md says of anonymising: each row of its table is a test.

SOMEBODY = {"mbox": "mailto:5f1d2c@univ-demo.fr"}
ADA = {"name": "Ada Lévêque", "mbox": "mailto:ada.leveque@univ-demo.fr"}
NOTES = "https://univ-demo.fr/xapi/notes"

#: The row; who acts; what is said in an extension; what leaves.
ROWS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "names of agents, in either order, whatever their case and accents": (
        ADA,
        ["LEVEQUE, Ada", "ada lévêque", "von Ada Leveque"],
        ["redacted", "redacted", "von redacted"],
    ),
    "the same in slugs, file names and addresses": (
        ADA,
        ["cours-ada-leveque.mp4", "leveque_ada_2026.pdf", "https://pod.fr/adaleveque/", "?by=L%C3%A9v%C3%AAque%20Ada"],
        ["cours-redacted.mp4", "redacted_2026.pdf", "https://pod.fr/redacted/", "?by=redacted"],
    ),
    "logins, mailboxes' first part, account names, also where they are numbers": (
        {"account": {"homePage": "https://cas.univ-demo.fr", "name": "21904567"}},
        ["seen by 21904567", "ada 21904567.mp4"],
        ["seen by redacted", "ada redacted.mp4"],
    ),
    "values of keys that name people, of whoever acts, and those values elsewhere": (
        SOMEBODY,
        {"username": "amin7", "fullname": "Ada Min", "studentNumber": 21904567, "seen": "by amin7, Min Ada, 21904567"},
        {
            "username": "redacted",
            "fullname": "redacted",
            "studentNumber": "redacted",
            "seen": "by redacted, redacted, redacted",
        },
    ),
    "mailboxes": (SOMEBODY, "ask bob@x.org", "ask redacted"),
    "IP addresses": (SOMEBODY, "from 10.1.2.3 and 2001:db8::1", "from redacted and redacted"),
    "phone numbers": (
        SOMEBODY,
        ["call +33 6 12 34 56 78", "01 23 45 67 89", "0123456789", "0049 (30) 1234-5678"],
        ["call redacted", "redacted", "redacted", "redacted"],
    ),
    "numbers of students": (
        SOMEBODY,
        ["INE 1234567890A", "étudiant n° 21904567", "student id 21904567"],
        ["INE redacted", "étudiant n° redacted", "student id redacted"],
    ),
    "times, lengths, segments, versions and ids of films stay": (
        ADA,
        ["0.000[.]12.000[,]3.500[.]41.250", "00:01:02", "version 1.2.3", "0042-algebra", "PT218.5S", "2026-11-24"],
        ["0.000[.]12.000[,]3.500[.]41.250", "00:01:02", "version 1.2.3", "0042-algebra", "PT218.5S", "2026-11-24"],
    ),
    "a first name or a surname alone, and words that a name is part of, stay": (
        ADA,
        ["Ada said so", "the Lévêque bridge", "Adaleveques"],
        ["Ada said so", "the Lévêque bridge", "Adaleveques"],
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_the_table(row: str) -> None:
    actor, said, left = ROWS[row]
    changed = anonymised({"actor": actor, "result": {"extensions": {NOTES: said}}}, ACCOUNT)
    assert changed["result"]["extensions"][NOTES] == left


def test_the_table_is_that_of_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs/xapi.md").read_text(encoding="utf-8")
    assert not [row for row in ROWS if f"| {row} |" not in page]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"mbox": "mailto:Ada.Min@Univ-demo.fr"}, {"mbox": "mailto:ada.min@univ-demo.fr"}),
        ({"openid": "https://ID.univ-demo.fr/ada/"}, {"openid": "https://id.univ-demo.fr/ada"}),
        (
            {"account": {"homePage": "https://POD.univ-demo.fr/", "name": "ada"}},
            {"account": {"homePage": "https://pod.univ-demo.fr", "name": "ada"}},
        ),
    ],
)
def test_case_and_a_last_slash_make_no_second_person(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert ACCOUNT.pseudonym(one) == ACCOUNT.pseudonym(other)


def test_pseudonyms_of_two_keys_are_told_apart() -> None:
    ada = {"mbox": "mailto:ada@univ-demo.fr"}
    account = Scheme(b"new", "account", "https://pseudonym.invalid", "2026").rename(ada)["account"]
    assert account["homePage"] == "https://pseudonym.invalid/2026"
    assert Scheme(b"new", "mailbox", "https://univ.fr", "2026").rename(ada)["mbox"].endswith(".2026@univ.fr")


#: First names, surnames and logins that are words, verbs, slugs, hosts and numbers as well.
FIRST = ["Rose", "Mark", "Will", "Grace", "Max", "Video", "Played", "Paul-Éric", "Zoé", "Lou"]
LAST = ["Length", "Paused", "Leroy Session", "O'Time", "D'Été"]


@pytest.mark.parametrize("number", range(50))
def test_fifty_people_whose_names_are_words_too(number: int) -> None:
    first, last = FIRST[number % 10], LAST[number // 10]
    login = ["video", "played", "0042", "algebra", "xapi"][number % 5] + str(number // 5)
    words = {
        "name": f"{first} {last}",
        "number": f"2190{number:04}",
        "login": login,
        "mailbox": f"{login}@univ-demo.fr",
    }
    actor = {"name": words["name"], "mbox": f"mailto:{words['mailbox']}"}
    told = f"{last.upper()} {first} ({words['login']}, {words['number']}) at {words['mailbox']}"
    around = {**POD[number % len(POD)], "actor": actor}
    around["result"] = {
        **around.get("result", {}),
        "response": told,
        "extensions": {
            **around.get("result", {}).get("extensions", {}),
            NOTES: {"studentNumber": words["number"], "file": f"{last}-{first}.mp4", "seen": [told]},
        },
    }
    changed = anonymised(around, ACCOUNT)
    text = json.dumps(changed, ensure_ascii=False).lower()
    gone = [words["number"], words["mailbox"], words["name"], f"{last} {first}", f"{last}-{first}"]
    assert not [one for one in gone if survives(one, text)]
    assert not survives(words["login"], changed["result"]["response"])
    assert changed["verb"] == around["verb"]
    assert {**changed["object"], "id": 0} == {**around["object"], "id": 0}
    assert changed["object"]["id"].replace("redacted", "127.0.0.1") == around["object"]["id"]
    assert changed["context"].keys() == around["context"].keys()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text("abcdeéèüñçß", min_size=3, max_size=7).map(lambda one: f"qz{one}"), min_size=2, max_size=4),
    st.sampled_from([" ", "-", "_", ".", ", ", "%20"]),
    st.sampled_from([str, str.upper, str.title, lambda one: unicodedata.normalize("NFD", one)]),
    st.integers(0, 3),
)
def test_a_name_is_found_however_it_is_written(
    name: list[str], between: str, form: Callable[[str], str], turned: int
) -> None:
    turned %= len(name)
    said = form(between.join(name[turned:] + name[:turned]))
    changed = anonymised({"actor": {"name": " ".join(name)}, "result": {"response": f"see {said}."}}, ACCOUNT)
    assert changed["result"]["response"] == "see redacted."
