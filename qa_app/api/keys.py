"""Who may do what: API keys with scopes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from qa_app.errors import SettingsError

#: Each reaches as far as those before it.
SCOPES = ("read", "write", "admin")
LEAST_BYTES = 16
_DIGEST = re.compile("[0-9a-f]{64}")
_FORM = "write scope:key, as in read:KEY,admin:KEY; scopes are read, write and admin"


@dataclass(frozen=True)
class Keys:
    """The keys that are taken, as SHA-256 digests with their scopes; none means that no key is asked for.

    A plain hash suffices because keys are long and random: there is no list of likely ones to try.
    """

    digests: tuple[tuple[str, bytes], ...] = ()

    def scope(self, key: str) -> str | None:
        """The scope of a presented key, None where it is not known; takes the same time whichever it is."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found = None
        for scope, known in self.digests:
            if hmac.compare_digest(known, digest):
                found = scope
        return found


def parse_keys(text: str) -> Keys:
    """Keys as the setting ``api.keys`` writes them: ``scope:key`` or ``scope:sha256:digest``, commas between them.

    Raises SettingsError, which never repeats a key.
    """
    digests = []
    for number, entry in enumerate((part.strip() for part in text.split(",") if part.strip()), 1):
        scope, separator, key = entry.partition(":")
        if not separator or scope not in SCOPES:
            raise SettingsError(f"key {number} of api.keys has no scope; {_FORM}")
        if key.startswith("sha256:"):
            if not _DIGEST.fullmatch(key[7:]):
                raise SettingsError(f"key {number} of api.keys is not sha256: and 64 hexadecimal digits")
            digests.append((scope, bytes.fromhex(key[7:])))
            continue
        if len(key.encode()) < LEAST_BYTES:
            raise SettingsError(
                f"key {number} of api.keys is shorter than {LEAST_BYTES} bytes and could be guessed; "
                "'qa-app key' makes a good one"
            )
        digests.append((scope, hashlib.sha256(key.encode()).digest()))
    if len({digest for _, digest in digests}) < len(digests):
        raise SettingsError("two entries of api.keys are the same key; give each scope a key of its own")
    return Keys(tuple(digests))


def presented(authorization: Sequence[str], api_key: Sequence[str]) -> tuple[str | None, bool]:
    """The key in a request's headers, and whether it came as a browser sends it, unasked, on every request.

    ``Authorization: Bearer KEY``, ``X-API-Key: KEY``, or a browser's ``Basic`` with the key as the password. None where
    there is no key, more than one, or none that can be read.
    """
    if len(authorization) + len(api_key) != 1:
        return None, False
    if api_key:
        return api_key[0], False
    scheme, _, value = authorization[0].partition(" ")
    if scheme.lower() == "bearer":
        return value.strip(), False
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2], True
        except (binascii.Error, UnicodeDecodeError):
            return None, True
    return None, False


class FailureLimit:
    """Counts a peer's wrong keys: more than ``most`` within a minute are told to wait, right ones never are."""

    _PEERS = 10_000

    def __init__(self, most: int = 20) -> None:
        self.most = most
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, peer: str) -> int:
        """Notes a failure; gives the seconds to wait, 0 where there were not too many yet."""
        now = time.monotonic()
        times = self._failures.setdefault(peer, deque(maxlen=self.most + 1))
        self._failures.move_to_end(peer)
        if len(self._failures) > self._PEERS:
            self._failures.popitem(last=False)
        times.append(now)
        recent = [then for then in times if now - then < 60]
        return 0 if len(recent) <= self.most else max(1, int(60 - (now - recent[0])))
