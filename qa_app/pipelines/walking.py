"""Which files are in a folder? Every entry ends as a file, as a rejection with its reason, or as skipped."""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, Union

from qa_app.errors import NotFoundError


@dataclass(frozen=True)
class Found:
    """An entry of a folder; ``reason`` is a key of ``errors.REASONS``, "skipped", or None for a good file."""

    path: Path
    relative: str
    reason: str | None = None
    message: str = ""


#: What is in a folder: entries, and in their places the folders in it.
_Entries: TypeAlias = Iterator[Union[Found, "_Entries"]]


@dataclass(frozen=True)
class Walk:
    """How to walk; ``exclude`` holds shell patterns of relative paths and names, ``hidden`` takes dot files too."""

    follow_symlinks: bool = False
    hidden: bool = False
    exclude: Sequence[str] = ()

    def files(self, given: Path) -> Iterator[Found]:
        """Every entry under ``given``, or ``given`` itself where it is a file; in the order of names.

        Raises NotFoundError where there is nothing at ``given``.
        """
        root = Path(os.path.abspath(given.expanduser()))  # noqa: PTH100 - links in the path are the person's own
        if not os.path.lexists(root):
            raise NotFoundError(f"{given} is not there; give a file or a folder that exists")
        if root.is_dir():
            # Not by calls within calls: folders may be nested deeper than those.
            open_ = [self._folder(root, root, real=Path(os.path.realpath(root)), above=set())]
            while open_:
                found = next(open_[-1], None)
                if found is None:
                    open_.pop()
                elif isinstance(found, Found):
                    yield found
                else:
                    open_.append(found)
        else:
            yield self._entry(root, root.parent)

    def _folder(self, folder: Path, root: Path, real: Path, above: set[tuple[int, int]]) -> _Entries:
        try:
            state = folder.stat()
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError as error:
            yield Found(folder, _relative(folder, root), "permission", f"the folder cannot be read: {error.strerror}")
            return
        here = (state.st_dev, state.st_ino)
        if here in above:
            yield Found(folder, _relative(folder, root), "not_a_file", "a link that leads back to a folder above it")
            return
        above.add(here)
        for name in names:
            path = folder / name
            relative = _relative(path, root)
            if any(fnmatch.fnmatch(relative, pattern) or fnmatch.fnmatch(name, pattern) for pattern in self.exclude):
                yield Found(path, relative, "skipped", "excluded")
            elif name.startswith(".") and not self.hidden:
                yield Found(path, relative, "skipped", "hidden")
            else:
                yield from self._any(path, root, real, above)
        above.remove(here)

    def _any(self, path: Path, root: Path, real: Path, above: set[tuple[int, int]]) -> _Entries:
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            yield _unseen(path, root, error)
            return
        if stat.S_ISLNK(mode):
            yield from self._link(path, root, real, above)
        elif stat.S_ISDIR(mode):
            yield self._folder(path, root, real, above)
        else:
            yield self._entry(path, root)

    def _link(self, path: Path, root: Path, real: Path, above: set[tuple[int, int]]) -> _Entries:
        relative = _relative(path, root)
        try:
            target = path.resolve(strict=True)
        except FileNotFoundError:
            yield Found(path, relative, "vanished", "a link to something that is not there")
        except PermissionError as error:
            yield _unseen(path, root, error)
        except (OSError, RuntimeError):
            yield Found(path, relative, "not_a_file", "a link that leads to itself")
        else:
            if not target.is_relative_to(real):
                yield Found(path, relative, "outside_root", f"a link out of the folder, to {target}")
            elif not self.follow_symlinks:
                yield Found(path, relative, "skipped", "a link within the folder; --follow-symlinks takes it too")
            elif target.is_dir():
                yield self._folder(path, root, real, above)
            else:
                yield self._entry(path, root)

    @staticmethod
    def _entry(path: Path, root: Path) -> Found:
        relative = _relative(path, root)
        try:
            relative.encode()
        except UnicodeEncodeError:
            return Found(path, relative, "name", "the file's name is not valid text; rename the file")
        try:
            mode = path.stat().st_mode
        except OSError as error:
            return _unseen(path, root, error)
        if stat.S_ISREG(mode):
            return Found(path, relative)
        kinds = {
            stat.S_IFIFO: "a named pipe",
            stat.S_IFSOCK: "a socket",
            stat.S_IFCHR: "a device",
            stat.S_IFBLK: "a device",
        }
        return Found(path, relative, "not_a_file", kinds.get(stat.S_IFMT(mode), "not a regular file"))


def _relative(path: Path, root: Path) -> str:
    return "." if path == root else path.relative_to(root).as_posix()


def _unseen(path: Path, root: Path, error: OSError) -> Found:
    """An entry that cannot be looked at, with the reason."""
    relative = _relative(path, root)
    if isinstance(error, FileNotFoundError):
        return Found(path, relative, "vanished", "it was gone when it was looked at")
    if error.errno == errno.ENAMETOOLONG:
        return Found(path, relative, "name", "its path is too long for this system; move it up")
    return Found(path, relative, "permission", f"it cannot be looked at: {error.strerror}")
