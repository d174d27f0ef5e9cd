"""What has to be mended when Esup-Pod's API turns us away."""

from __future__ import annotations

from core.http.client import Answer

ADDRESS = "POD_API_URL must be that of its API, https://pod.univ.fr/rest/"

_BY_STATUS = {
    401: "Esup-Pod does not know POD_API_TOKEN",
    403: "the user of POD_API_TOKEN must be staff",
    404: "is POD_API_URL right?",
    405: "POD_API_URL must be Esup-Pod's last address, behind no redirect",
}


def remedy_of(answer: Answer) -> str | None:
    """Return what a person has to do about an answer, None where that is nothing, or nobody knows.

    The API speaks JSON when it refuses. A page says that something else of Pod's has answered: at an address outside
    the API it gives 403 to a POST, for want of a CSRF token, whoever the token's user is.
    """
    if answer.status in (403, 404) and not isinstance(answer.json(), dict):
        return ADDRESS
    return _BY_STATUS.get(405 if answer.status in range(300, 400) else answer.status)
