"""The connection to the server: opened with patience, used with deadlines."""

from __future__ import annotations

import copy
import logging
import random
import re
import ssl
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from elastic_transport import ConnectionError as ClientConnectionError
from elastic_transport import ConnectionTimeout, ObjectApiResponse, TlsError
from elasticsearch import ApiError, Elasticsearch, ElasticsearchWarning

from qa_app.errors import SettingsError
from qa_app.stores.elasticsearch.errors import PASSING, check_shards, kind_and_reason, translated

logger = logging.getLogger(__name__)

OLDEST = (7, 17)
R = TypeVar("R")

# A server 7.17 without security says so with every single answer.
warnings.filterwarnings("ignore", message=".*built-in security features", category=ElasticsearchWarning)
# With one node, its pauses after failures are never kept, and we tell of failures ourselves.
logging.getLogger("elastic_transport.node_pool").setLevel(logging.ERROR)


class Connection:
    """A client of one server whose errors are ours; for any number of threads."""

    def __init__(
        self, url: str, username: str, password: str, api_key: str, ca_certs: str, timeout: float, wait: float
    ) -> None:
        self.url, user, secret = _without_credentials(url)
        self.timeout = timeout
        self.wait = wait
        self._patience = 0.0
        username, password = username or user, password or secret
        if api_key and username:
            raise SettingsError("elasticsearch has both an API key and a user; set one of them")
        if password and not username:
            raise SettingsError("elasticsearch has a password but no user; set QA_ELASTICSEARCH_USERNAME")
        options: dict[str, Any] = {}
        if api_key:
            options["api_key"] = api_key
        elif username:
            options["basic_auth"] = (username, password)
        if ca_certs:
            try:
                ssl.create_default_context(cafile=ca_certs)
            except OSError as error:
                raise SettingsError(
                    f"{ca_certs}, named by elasticsearch.ca_certs, holds no certificates: {error}"
                ) from error
            options["ca_certs"] = ca_certs
        try:
            # The client's own retries know neither deadline nor what may be repeated.
            self.client = Elasticsearch(self.url, request_timeout=timeout, max_retries=0, **options)
        except ValueError as error:
            raise SettingsError(f"{self.url} with its settings is no address of Elasticsearch: {error}") from error
        try:
            self.version = self._connect()
        except BaseException:
            self.client.close()
            raise

    def patient(self) -> Connection:
        """The same connection for writers, who wait for a server that is restarting or overloaded."""
        patient = copy.copy(self)
        patient._patience = self.wait
        return patient

    def call(self, function: Callable[..., R], **arguments: Any) -> R:
        """One request; where the connection breaks it is sent once more, so it must bear that.

        A connection that was kept open does not survive the server's restart, and only its next use tells.
        """
        deadline, pause, tries = time.monotonic() + self._patience, 0.05, 0
        with translated(self.url):
            while True:
                tries += 1
                try:
                    return function(**arguments)
                except TlsError:
                    raise
                except ClientConnectionError:
                    if tries > 1 and time.monotonic() + pause > deadline:
                        raise
                except ApiError as error:
                    busy = error.status_code in PASSING and kind_and_reason(error.body)[0] != "cluster_block_exception"
                    if not busy or time.monotonic() + pause > deadline:
                        raise
                if tries > 1:
                    time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                    pause = min(pause * 2, 2.0)

    def search(self, **arguments: Any) -> Mapping[str, Any]:
        """A whole answer to a search; raises StoreUnavailableError where a shard's part is missing."""
        limit = f"{max(1, int(self.timeout * 1000))}ms"
        answer: ObjectApiResponse[Any] = self.call(self.client.search, timeout=limit, **arguments)
        found: Mapping[str, Any] = answer.body
        check_shards(found, self.url)
        return found

    def refresh(self, *indexes: str) -> None:
        """Makes what was written to the indexes visible to searches."""
        answer: ObjectApiResponse[Any] = self.call(self.client.indices.refresh, index=list(indexes))
        check_shards(answer.body, self.url)

    def _connect(self) -> tuple[int, ...]:
        deadline = time.monotonic() + self.wait
        pause, told = 0.05, False
        with translated(self.url):
            while True:
                left = deadline - time.monotonic()
                try:
                    # One try may not outlast all the waiting.
                    asking = self.client.options(request_timeout=min(self.timeout, max(left, 1.0)))
                    return _checked_version(asking.info().body, self.url)
                except TlsError:
                    raise
                except (ClientConnectionError, ConnectionTimeout, ApiError) as error:
                    if (isinstance(error, ApiError) and error.status_code not in PASSING) or left <= 0:
                        raise
                if not told:
                    logger.warning("Elasticsearch at %s does not answer yet; waiting up to %g s", self.url, self.wait)
                    told = True
                time.sleep(min(pause, max(0.0, left)))
                pause = min(pause * 2, 1.0)


def _without_credentials(url: str) -> tuple[str, str, str]:
    """The address without what stands before ``@``, and that user and password."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = re.sub(r"//.*@", "//", url)
        raise SettingsError(f"QA_ELASTICSEARCH_URL is {shown!r}; give an address such as http://127.0.0.1:9200")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    clean = urlunsplit((parts.scheme, f"{host}:{port}", parts.path.rstrip("/"), "", ""))
    return clean, unquote(parts.username or ""), unquote(parts.password or "")


def _checked_version(info: Mapping[str, Any], url: str) -> tuple[int, ...]:
    number = str(info.get("version", {}).get("number", ""))
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", number)
    if found is None:
        raise SettingsError(f"what answers at {url} is not Elasticsearch; set QA_ELASTICSEARCH_URL")
    version = tuple(int(part) for part in found.groups())
    if version[:2] < OLDEST:
        raise SettingsError(f"Elasticsearch at {url} is {number}; 7.17 is the oldest that works, upgrade the server")
    return version
