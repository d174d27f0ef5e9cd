"""The endpoint for trackers and for systems that speak xAPI, as a process that real requests reach."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
import requests

from core.statements import visitor_token

from .conftest import KEY, LECTURES, MOODLE, VISITOR, Arrived, Server


class TestEndpoint:
    def post(self, endpoint: str, page: str, body: Any, **options: Any) -> requests.Response:
        data = body if isinstance(body, str) else json.dumps(body)
        return requests.post(endpoint, data=data, headers={"Origin": page}, timeout=10, **options)

    def said(self, **fields: Any) -> dict[str, Any]:
        return {
            "id": "11111111-1111-4111-8111-111111111111",
            "verb": {"id": "https://w3id.org/xapi/video/verbs/played"},
            "object": {
                "id": "https://pod.univ-demo.fr/video/1/",
                "definition": {"type": "https://w3id.org/xapi/video/activity-type/video"},
            },
            "context": {"contextActivities": {"category": [{"id": "https://w3id.org/xapi/video"}]}},
            "result": {"extensions": {"https://w3id.org/xapi/video/extensions/time": 1.5}},
            **fields,
        }

    def test_what_the_browser_says_of_the_actor_is_not_heard(
        self, endpoint: str, origin: str, arrived: Arrived
    ) -> None:
        forged = {"mbox": "mailto:dean@univ-demo.fr"}
        answer = self.post(endpoint, origin, self.said(actor=forged, authority=forged, stored="2020-01-01T00:00:00Z"))
        assert (answer.status_code, answer.text) == (204, "")
        (one,) = arrived()
        assert one["actor"]["account"]["name"].startswith("anonymous-")
        assert "dean" not in json.dumps(one)
        assert "stored" not in one

    def test_a_repetition_has_the_same_id_and_nobody_else_s_statement_has_it(
        self, endpoint: str, origin: str, arrived: Arrived
    ) -> None:
        words = [
            visitor_token.sign(KEY, {"account": {**VISITOR["account"], "name": name}}) for name in ("ada", "ada", "bob")
        ]
        for word in words:
            self.post(f"{endpoint}?visitor={word}", origin, self.said())
        ids = {
            name: {one["id"] for one in arrived() if one["actor"]["account"]["name"] == name} for name in ("ada", "bob")
        }
        assert len(arrived()) == 3
        assert len(ids["ada"]) == 1
        assert ids["ada"] != ids["bob"]

    @pytest.mark.parametrize(
        ("page", "body", "status", "words"),
        [
            ("http://evil.example", {}, 403, "pages of http://evil.example may not send statements"),
            (None, "x" * 200_000, 413, "more than 131072 bytes"),
            (None, "{", 400, "not JSON"),
            (None, "[1]", 400, "a statement, or an array of up to 100"),
            (None, r'{"visitor": "x.\ud800", "statements": []}', 400, "half of a letter"),
        ],
    )
    def test_it_refuses(
        self, endpoint: str, origin: str, arrived: Arrived, page: str | None, body: Any, status: int, words: str
    ) -> None:
        answer = self.post(endpoint, page or origin, body)
        assert answer.status_code == status
        assert words in answer.json()["detail"]
        assert arrived() == []

    def test_a_forged_or_old_word_of_the_visitor_is_refused(self, endpoint: str, origin: str) -> None:
        forged = visitor_token.sign("another key", VISITOR)
        old = visitor_token.sign(KEY, VISITOR, seconds=-1)
        for word, reason in ((forged, "not signed with our key"), (old, "too old"), ("x", "not signed")):
            answer = self.post(f"{endpoint}?visitor={word}", origin, self.said())
            assert (answer.status_code, reason in answer.text) == (403, True)

    def test_one_browser_can_t_flood_it(self, endpoint: str, origin: str) -> None:
        session = {"https://w3id.org/xapi/video/extensions/session-id": "33333333-3333-4333-8333-333333333333"}
        one = self.said(context={**self.said()["context"], "extensions": session})  # others' tests have their own rate
        answers = [self.post(endpoint, origin, [one] * 100) for _ in range(8)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["Retry-After"]) >= 1

    @pytest.mark.parametrize(
        ("fields", "status", "words"),
        [
            ({"verb": {"id": "http://adlnet.gov/expapi/verbs/passed"}}, 400, "is no verb of a player"),
            ({"object": {"id": "https://elsewhere.example/1"}}, 403, "is not to be spoken of"),
            ({"context": {"registration": "x"}}, 400, "context.registration is not what xAPI has there"),
            ({"result": "x"}, 400, "result is not what xAPI has there"),
        ],
    )
    def test_a_player_says_what_a_player_says_of_our_lectures(
        self, endpoint: str, origin: str, arrived: Arrived, fields: dict[str, Any], status: int, words: str
    ) -> None:
        answer = self.post(endpoint, origin, self.said(**fields))
        assert (answer.status_code, words in answer.text) == (status, True)
        assert answer.headers["Access-Control-Allow-Origin"] == "*", "the tracker can read why"
        assert arrived() == []

    def test_what_a_player_does_not_know_and_times_to_come_are_not_heard(
        self, endpoint: str, origin: str, arrived: Arrived
    ) -> None:
        dean = {"name": "dean", "mbox": "mailto:dean@univ-demo.fr"}
        context = {**self.said()["context"], "instructor": dean, "team": {**dean, "objectType": "Group"}}
        self.post(endpoint, origin, self.said(context=context, timestamp="2999-01-01T00:00:00Z", attachments=[]))
        (one,) = arrived()
        assert "dean" not in json.dumps(one)
        assert one["timestamp"] < "2999"
        assert "attachments" not in one

    def test_a_login_of_the_portal_s_own_is_no_system_s(self, endpoint: str, origin: str) -> None:
        assert self.post(endpoint, origin, self.said(), auth=("somebody", "of the portal")).status_code == 204

    def test_a_lecture_hall_behind_one_address_is_no_flood(self, endpoint: str, origin: str) -> None:
        for number in range(30):
            word = visitor_token.sign(KEY, {"account": {**VISITOR["account"], "name": f"student {number}"}})
            answer = self.post(endpoint, origin, {"visitor": word, "statements": [self.said()] * 25})
            assert answer.status_code == 204

    def test_the_visitor_s_word_is_in_no_log(self, endpoint: str, origin: str, server: Server) -> None:
        word = visitor_token.sign(KEY, VISITOR)
        assert self.post(f"{endpoint}?visitor={word}", origin, self.said()).status_code == 204
        assert "?visitor=... " in server.log.read_text()
        assert word not in server.log.read_text()


class TestAsAStore:
    """Moodle's or Opencast's plugin, told to send here."""

    STATEMENT: ClassVar = {
        "actor": {"account": {"homePage": "https://moodle.univ-demo.fr", "name": "7"}},
        "verb": {"id": "https://w3id.org/xapi/video/verbs/played"},
        "object": {"id": f"{LECTURES}1/", "definition": {"type": "https://w3id.org/xapi/video/activity-type/video"}},
        "context": {"contextActivities": {"category": [{"id": "https://w3id.org/xapi/video"}]}},
        "result": {"extensions": {"https://w3id.org/xapi/video/extensions/time": 1.5}},
    }

    def send(self, endpoint: str, body: Any, *, method: str = "POST", **options: Any) -> requests.Response:
        options = {"auth": MOODLE, "headers": {"X-Experience-API-Version": "1.0.3"}} | options
        return requests.request(method, endpoint, json=body, timeout=10, **options)

    def test_it_answers_the_ids_of_what_it_keeps(self, endpoint: str, arrived: Arrived) -> None:
        answer = self.send(endpoint, [self.STATEMENT, self.STATEMENT])
        assert (answer.status_code, answer.headers["X-Experience-API-Version"]) == (200, "1.0.3")
        assert answer.json() == [one["id"] for one in arrived()]
        name = "6690e6c9-3ef0-4ed3-8b37-7f3964730bee"
        assert self.send(endpoint, self.STATEMENT, method="PUT", params={"statementId": name}).status_code == 204
        assert name in {one["id"] for one in arrived()}

    def test_an_id_twice_in_one_request_is_refused(self, endpoint: str, arrived: Arrived) -> None:
        one = {**self.STATEMENT, "id": "6690e6c9-3ef0-4ed3-8b37-7f3964730bee"}
        assert self.send(endpoint, [one, one]).status_code == 400
        assert arrived() == []

    @pytest.mark.parametrize(
        ("options", "status", "words"),
        [
            ({"auth": ("moodle", "a guess")}, 401, "no such login"),
            ({"headers": {}}, 400, "X-Experience-API-Version"),
            ({"headers": {"X-Experience-API-Version": "1.0.3", "Content-Type": "multipart/mixed"}}, 400, "fileUrl"),
            ({"body": {"object": {"id": "https://elsewhere.example/"}}}, 403, "may not speak of"),
            ({"body": {"id": None}}, 400, "no UUID"),
            ({"method": "PUT", "body": {"id": "a"}, "params": {"statementId": "b"}}, 400, "not that of ?statementId="),
        ],
    )
    def test_it_refuses(
        self, endpoint: str, arrived: Arrived, options: dict[str, Any], status: int, words: str
    ) -> None:
        answer = self.send(endpoint, {**self.STATEMENT, **options.pop("body", {})}, **options)
        assert (answer.status_code, words in answer.text) == (status, True)
        assert arrived() == []
