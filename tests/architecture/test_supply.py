"""What the application is made of may be used, and no known flaw of it reaches the application."""

from __future__ import annotations

import json
import subprocess
import sys
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import supply
from tests.conftest import REPOSITORY
from tests.supply import (
    CONSTRAINTS,
    advisory_faults,
    is_allowed,
    is_here,
    licence_faults,
    licence_of,
    listed,
    looked_up_faults,
    pins,
    running,
    version,
)


@pytest.fixture(scope="module")
def pinned() -> list[Requirement]:
    return pins(CONSTRAINTS.read_text(encoding="utf-8"))


def test_every_known_advisory_has_a_reason(pinned: list[Requirement]) -> None:
    """No pinned version is in an advisory of the list without the reason why it does not reach us."""
    assert advisory_faults(pinned, listed()) == []


def test_every_package_that_runs_was_looked_up(pinned: list[Requirement]) -> None:
    """Of each pinned package that runs with the application, advisories are listed, or that none was known on a day."""
    names = running()
    assert {"litestar", "lxml", "torch", "starlette", "h11"} <= names
    assert not names & {"pytest", "ruff", "schemathesis"}
    assert looked_up_faults(names, pinned, listed()["advisories"]) == []


def test_a_package_that_nobody_looked_up_is_found(pinned: list[Requirement]) -> None:
    """A new package, one with advisories that is said to have none, and one that is not used any more are each told."""
    section = {"known": [{"package": "Torch"}], "none-known": {"2026-01-01": ["torch", "gone"]}}
    faults = looked_up_faults({"torch", "lxml"}, pinned, section)
    assert [(fault.split()[0], "lxml" in fault) for fault in faults] == [
        ("nobody", True),
        ("torch", False),
        ("gone", False),
    ]


def test_the_bill_of_materials_is_what_is_pinned(pinned: list[Requirement], tmp_path: Path) -> None:
    """``make sbom`` writes every pinned package of this machine in its version, and none besides."""
    bill = tmp_path / "sbom" / "bill.json"
    # Without validation, which takes half a minute.
    told = [f"BIN={Path(sys.executable).parent}", f"SBOM={bill}", "SBOM_OPTIONS=--no-validate"]
    subprocess.run(["make", "--silent", "--old-file=.venv/.ready", "sbom", *told], cwd=REPOSITORY, check=True)
    made = json.loads(bill.read_text(encoding="utf-8"))
    assert made["metadata"]["component"]["name"] == "qa-app"
    components = {(canonicalize_name(one["name"]), one["version"]) for one in made["components"]}
    assert components == {(canonicalize_name(pin.name), version(pin)) for pin in pinned if is_here(pin)}


def test_every_licence_is_on_the_list(pinned: list[Requirement]) -> None:
    """What is installed here of the pinned packages is under licences that are allowed, or excepted by name."""
    assert licence_faults(pinned, listed()["licences"]) == []


def test_a_pin_in_an_advisory_is_found(pinned: list[Requirement]) -> None:
    """A version that goes back into an advisory, a package that is kept out, and any new pin are each told."""
    older = [Requirement("torch==2.9.1") if pin.name == "torch" else pin for pin in pinned]
    faults = advisory_faults([*older, Requirement("kernels==0.1")], listed())
    assert {"kernels", "CVE-2026-24747", "constraints.txt"} <= {fault.split()[0] for fault in faults}


def test_a_reason_that_is_not_needed_is_found(pinned: list[Requirement]) -> None:
    """Where a package has left an advisory's versions, its reason is told to be outdated."""
    newer = [Requirement("transformers==5.3.0") if pin.name == "transformers" else pin for pin in pinned]
    assert any("CVE-2026-4372" in fault and "remove its reason" in fault for fault in advisory_faults(newer, listed()))


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"License-Expression": "MIT AND (Apache-2.0 OR BSD-3-Clause)"}, True),
        ({"License-Expression": "MIT AND GPL-3.0-only"}, False),
        ({"Classifier": "License :: OSI Approved :: MIT License", "License": "see the file"}, True),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"}, False),
        ({"License": "Apache License 2.0"}, True),
        ({"License": "ask us"}, False),
        ({}, False),
    ],
)
def test_a_licence_that_nobody_looked_at_is_found(fields: dict[str, str], allowed: bool) -> None:
    """Only what is on the list passes; a package that states none does not."""
    told = Message()
    for name, value in fields.items():
        told[name] = value
    assert is_allowed(licence_of(told), listed()["licences"]) is allowed  # type: ignore[arg-type]


_VULN = {"id": "GHSA-x", "aliases": ["CVE-0000-1"], "fix_versions": ["2"], "description": ""}
_BAD = {"name": "urllib3", "version": "1", "vulns": [_VULN]}
_GOOD = {"name": "six", "version": "1", "vulns": []}
_SKIPPED = {"name": "six", "skip_reason": "nobody knows it"}


@pytest.mark.parametrize(
    ("probe", "answer", "code", "told"),
    [
        ([_BAD], [_GOOD], 0, "the database was asked about 1 packages"),
        ([_BAD], [_GOOD, _BAD], 1, "urllib3 1: GHSA-x"),
        ([_BAD], [_GOOD, _SKIPPED], 1, "not audited: six (nobody knows it)"),
        ([_BAD], [], 1, "no answer: it ended"),
        ([_SKIPPED], [_GOOD], 0, "THE ADVISORY DATABASE WAS NOT ASKED"),
        ([], [_GOOD], 0, "THE ADVISORY DATABASE WAS NOT ASKED"),
    ],
)
def test_an_audit_that_asked_nobody_says_so(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    probe: list[dict[str, Any]],
    answer: list[dict[str, Any]],
    code: int,
    told: str,
) -> None:
    """An advisory, a package that was passed over and no answer end with 1; a database that knows nothing is named."""

    def ask(requirements: Path, ignored: list[str]) -> tuple[list[dict[str, Any]], str]:
        return (answer if requirements == CONSTRAINTS else probe), "it ended"

    monkeypatch.setattr(supply, "_ask", ask)
    assert supply.audit() == code
    assert told in capsys.readouterr().out
