"""Bodies of requests, decoded strictly."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import msgspec
from litestar import Request

from qa_app.errors import InvalidRequestError, MalformedRequestError

#: A larger body is decoded in a thread, so that other requests go on meanwhile.
_LARGE = 128 * 1024
_PLACE = re.compile(r"(.*?)(?: - at `(.*)`)?", re.DOTALL)


class InvalidBodyError(InvalidRequestError):
    """A body that is JSON but not what the operation takes; ``loc`` leads to the field."""

    def __init__(self, message: str, loc: list[str | int]) -> None:
        super().__init__(message)
        self.loc = loc


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON is taken as it is: no text for a number, no unknown field, no field twice, no NaN."""

    async def json(self) -> Any:
        """The body as the handler's type; raises MalformedRequestError and InvalidBodyError."""
        raw = await self.body()
        wanted = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        if len(raw) > _LARGE:
            return await asyncio.to_thread(decode, raw, wanted)
        return decode(raw, wanted)


def decode(raw: bytes, wanted: Any) -> Any:
    """JSON bytes as ``wanted``; raises MalformedRequestError and InvalidBodyError."""
    try:
        body = msgspec.json.decode(raw, type=wanted)
        # msgspec takes the last of two fields with one name, which may not be the one that somebody checked.
        json.loads(raw, object_pairs_hook=_once)
    except msgspec.ValidationError as error:
        match = _PLACE.fullmatch(str(error))
        message, place = match.groups() if match else (str(error), None)
        loc: list[str | int] = ["body", *re.findall(r"[^.\[\]$`]+", place or "")]
        raise InvalidBodyError(f"{'.'.join(map(str, loc))}: {message}", loc) from error
    except RecursionError:
        raise MalformedRequestError("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequestError(f"the body is not JSON: {error}") from error
    except ValueError as error:
        # Python's own reader refuses numbers of thousands of digits.
        raise MalformedRequestError(f"the body holds a number that is out of range: {error}") from error
    return body


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise InvalidBodyError(f"the body has the field {name[:80]!r} twice", ["body", name[:80]])
        seen.add(name)
