"""What the application is made of: its pinned dependencies, their licences, and the advisories about them.

``python -m tests.supply`` asks the advisory database, and says so where it cannot.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

_REPOSITORY = Path(__file__).parent.parent
CONSTRAINTS = _REPOSITORY / "constraints.txt"
LISTED = _REPOSITORY / "docs" / "dependencies.yaml"
#: Has advisories since 2019: a database that knows none of them is no database.
_PROBE = "urllib3==1.24.1"


def pins(text: str) -> list[Requirement]:
    """What constraints.txt pins, for every Python and system."""
    return [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]


def version(pin: Requirement) -> str:
    """The one version that a pin allows."""
    [only] = pin.specifier
    return only.version


def is_here(pin: Requirement) -> bool:
    """Whether a pin is for this Python and system."""
    return pin.marker is None or pin.marker.evaluate()


def running(name: str = "qa-app", extras: tuple[str, ...] = ("openvino", "ui")) -> set[str]:
    """The packages that run with the application here, those that only develop it left out."""
    found: set[tuple[str, str]] = set()

    def add(name: str, extras: list[str]) -> None:
        for extra in ["", *extras]:
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for asked in map(Requirement, metadata.distribution(name).requires or []):
                if asked.marker is None or asked.marker.evaluate({"extra": extra}):
                    add(canonicalize_name(asked.name), sorted(asked.extras))

    add(name, list(extras))
    return {package for package, _ in found} - {name}


def digest(pinned: list[Requirement]) -> str:
    """What changes with any pin."""
    lines = sorted({f"{canonicalize_name(pin.name)}=={version(pin)}" for pin in pinned})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Advisory:
    """Published advisories about some versions of a package; ``reason`` is why they do not reach the application."""

    ids: list[str]
    package: str
    affected: str
    reason: str = ""

    def meets(self, pin: Requirement) -> bool:
        """Whether the pinned version is among those affected."""
        same = canonicalize_name(pin.name) == canonicalize_name(self.package)
        return same and SpecifierSet(self.affected).contains(version(pin), prereleases=True)


def listed() -> dict[str, Any]:
    """docs/dependencies.yaml."""
    found: dict[str, Any] = yaml.safe_load(LISTED.read_text(encoding="utf-8"))
    return found


def advisory_faults(pinned: list[Requirement], kept: dict[str, Any]) -> list[str]:
    """What is wrong with the list of advisories for these pins, a sentence each."""
    wrong = []
    names = {canonicalize_name(pin.name) for pin in pinned}
    wrong += [
        f"{name} is pinned, and is to be kept out: {why}" for name, why in kept["kept-out"].items() if name in names
    ]
    section = kept["advisories"]
    for advisory in (Advisory(**entry) for entry in section["known"]):
        met = [pin for pin in pinned if advisory.meets(pin)]
        what = f"{', '.join(advisory.ids)} ({advisory.package} {advisory.affected})"
        if met and not advisory.reason:
            wrong.append(f"{what} is about {met[0]}: pin another version, or give the reason why it does not reach us")
        if advisory.reason and not met:
            wrong.append(f"{what} is about no pinned version any more: remove its reason")
    if section["pins"] != digest(pinned):
        wrong.append(
            "constraints.txt has changed since the advisories were gone through; run `make audit` where the database "
            f"can be reached, then write pins: {digest(pinned)} and the day into {LISTED.name}"
        )
    return wrong


def looked_up_faults(names: set[str], pinned: list[Requirement], section: dict[str, Any]) -> list[str]:
    """The packages that nobody looked up, and those that are said to have no advisory and are listed, or not pinned."""
    known = {canonicalize_name(entry["package"]) for entry in section["known"]}
    nothing = [name for day in section["none-known"].values() for name in day]
    wrong = [f"nobody has looked up the advisories of {name}" for name in sorted(names - known - set(nothing))]
    wrong += [f"{name} is said to have no advisory, and is listed with one" for name in sorted(known & set(nothing))]
    gone = set(nothing) - {canonicalize_name(pin.name) for pin in pinned}
    return wrong + [f"{name} is said to have no advisory, and is not pinned" for name in sorted(gone)]


def licence_of(told: metadata.PackageMetadata) -> str:
    """A package's licence in its own words: its SPDX expression, else its classifiers, else its old field."""
    if expression := told["License-Expression"]:
        return str(expression)
    classifiers = [text.split(" :: ")[-1] for text in told.get_all("Classifier") or [] if "OSI Approved ::" in text]
    return " OR ".join(classifiers) or (told["License"] or "").strip().split("\n")[0]


def is_allowed(licence: str, licences: dict[str, Any]) -> bool:
    """Whether every part of a licence is on the list; where one may choose, all that is offered must be."""
    parts = (
        re.split(r" (?:AND|OR|WITH) ", licence.replace("(", "").replace(")", ""))
        if licence not in licences["spelled"]
        else [licence]
    )
    return all(licences["spelled"].get(part, part) in licences["allowed"] for part in parts)


def licence_faults(pinned: list[Requirement], licences: dict[str, Any]) -> list[str]:
    """The pinned packages of this machine whose licence is not on the list, or not known."""
    wrong = []
    for pin in pinned:
        name = canonicalize_name(pin.name)
        if not is_here(pin) or name.startswith(tuple(licences["exceptions"])):
            continue
        licence = licence_of(metadata.metadata(pin.name))
        if not is_allowed(licence, licences):
            wrong.append(f"{pin.name} {version(pin)} is under {licence or 'no licence that it states'}")
    return wrong


def audit() -> int:
    """Asks the advisory database about every pin of this machine; 1 where it knows something that is not listed.

    Where it cannot be asked, only the list is checked.
    """
    kept = listed()
    faults = advisory_faults(pins(CONSTRAINTS.read_text(encoding="utf-8")), kept)
    for fault in faults:
        print(f"audit: {fault}")
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.txt"
        probe.write_text(_PROBE + "\n")
        answer, said = _ask(probe, [])
        if not any(one.get("vulns") for one in answer):
            section, why = (
                kept["advisories"],
                next((one["skip_reason"] for one in answer if "skip_reason" in one), said),
            )
            print(
                f"audit: THE ADVISORY DATABASE WAS NOT ASKED: it gives nothing on {_PROBE}, which has advisories "
                f"({why})\n"
                f"audit: only {LISTED.name} was checked, last gone through on {section['reviewed']}; it knows nothing "
                "of what was published since, nor of packages that nobody looked up"
            )
            return 1 if faults else 0
        ids = [id for entry in kept["advisories"]["known"] if entry.get("reason") for id in entry["ids"]]
        answer, said = _ask(CONSTRAINTS, ids)
    unknown = [f"{one['name']} ({one['skip_reason']})" for one in answer if "skip_reason" in one]
    found = [
        f"{one['name']} {one['version']}: {vuln['id']} {vuln.get('aliases')}, mended in {vuln['fix_versions']}"
        for one in answer
        for vuln in one.get("vulns", [])
    ]
    if not answer:
        found.append(f"no answer: {said}")
    for line in (*found, *(f"not audited: {one}" for one in unknown)):
        print(f"audit: {line}")
    print(
        f"audit: the database was asked about {len(answer)} packages; {len(ids)} advisories are known not to reach us"
    )
    return 1 if faults or found or unknown else 0


def _ask(requirements: Path, ignored: list[str]) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's finding for each package, none where it failed, and the last line of what it said."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"),
                *("--progress-spinner", "off", "--timeout", "15", "--format", "json", "--output", str(out)),
                *(part for id in ignored for part in ("--ignore-vuln", id)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        answer = json.loads(out.read_text())["dependencies"] if out.exists() and out.stat().st_size else []
        return answer, (done.stderr.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    sys.exit(audit())
