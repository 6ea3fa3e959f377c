"""The API as the page asks it: what it answers, or what is wrong, in plain words."""

from __future__ import annotations

from typing import Any

import httpx

from ui.settings import Settings

#: The API gives a question up after 30 seconds and says so itself.
SECONDS = 60.0
_PLAIN = {
    401: "The API does not take this page's key. Whoever runs the page sets QA_API_KEY.",
    429: "Too many questions are waiting. Try again in a moment.",
    503: "The API is starting, or has lost what it needs. Try again in a moment.",
}


class ProblemError(Exception):
    """What keeps the page from answering, in sentences for its visitor."""


def notice(settings: Settings) -> str | None:
    """Why the API answers with less than it was set up for, if so; raises ProblemError where it cannot answer."""
    status, body = _request(settings, "GET", "/ready")
    if status not in (200, 503):
        raise _problem(settings, status, body)
    if missing := body.get("missing"):
        raise ProblemError(" ".join([_PLAIN[503], *(f"The {what}: {why}." for what, why in missing.items())]))
    return body.get("notice")


def ask(settings: Settings, question: str) -> list[dict[str, Any]]:
    """The answers to a question, best first, with the fields of Haystack's Answer; raises ProblemError."""
    status, body = _request(settings, "POST", "/query", {"query": question})
    answers = body.get("answers")
    if status != 200 or not isinstance(answers, list):
        raise _problem(settings, status, body)
    return answers


def _request(settings: Settings, method: str, path: str, json: object = None) -> tuple[int, dict[str, Any]]:
    headers = {b"Authorization": f"Bearer {settings.api_key}".encode()} if settings.api_key else {}
    try:
        # A proxy of the environment is for the world outside, not for the server beside this one.
        with httpx.Client(trust_env=False, timeout=httpx.Timeout(SECONDS, connect=5)) as client:
            response = client.request(method, settings.api_url + path, headers=headers, json=json)
    except httpx.ReadTimeout as error:
        raise ProblemError(f"The API did not answer within {SECONDS:.0f} seconds. Try again in a moment.") from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ProblemError(f"Nothing answers at {settings.api_url} ({error}). Is the API running there?") from error
    try:
        body = response.json()
    except ValueError:
        body = None
    return response.status_code, body if isinstance(body, dict) else {}


def _problem(settings: Settings, status: int, body: dict[str, Any]) -> ProblemError:
    error = body.get("error")
    if not isinstance(error, dict):
        return ProblemError(f"What answers at {settings.api_url} is not the API (status {status}).")
    told = f"It says: {error.get('message')} (request {error.get('request_id')})"
    return ProblemError(f"{_PLAIN.get(status, 'The API could not answer.')} {told}")
