"""What is a question? Known before anything is opened for it."""

from __future__ import annotations

from qa_app.errors import InvalidRequestError

#: Retrieval uses the first words and the reader the first 64 tokens; beyond a page, it is no question any more.
MAX_QUESTION = 10_000


def check_question(question: str) -> None:
    """Raises InvalidRequestError for what is empty, endless or not text."""
    if not question.strip():
        raise InvalidRequestError("the question is empty; ask something in words")
    if len(question) > MAX_QUESTION:
        raise InvalidRequestError(f"the question has {len(question)} characters; at most {MAX_QUESTION} are taken")
    try:
        question.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError("the question holds half of a surrogate pair, which is not text") from None
