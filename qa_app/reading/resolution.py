"""From a setting such as ``reader.model`` to a folder on this machine."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from qa_app.errors import ModelError
from qa_app.reading.model_files import READER, Purpose, check_model, has_weights

logger = logging.getLogger(__name__)

BUNDLED = "bundled"
BUNDLED_FOLDER = Path(__file__).parent.parent / "model_assets"
#: What is needed of a hub repository; other frameworks' weights stay there.
_PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors"]
_HUB_SECONDS = 5.0


@dataclass(frozen=True)
class ResolvedModel:
    """A checked model folder; ``notice`` says why it is another one than asked for, or is None."""

    name: str
    folder: Path
    notice: str | None = None


def resolve(model: str, purpose: Purpose = READER) -> ResolvedModel:
    """The folder of ``model``: itself if it is one, else the hub's cache, else the hub, else the bundled reader.

    Only an unreachable hub leads to the bundled reader, with a notice; for other purposes than reading it raises
    ModelError, as does what is damaged, is not a model for ``purpose``, or that the hub does not have.
    """
    if model == BUNDLED and purpose is READER:
        return _bundled(None)
    path = _local(model, purpose)
    if path is not None:
        check_model(path, purpose)
        return ResolvedModel(str(path), path)
    folder = _cached(model, purpose)
    if folder is None:
        try:
            folder = _downloaded(model, purpose)
        except _HubUnreachableError as error:
            if purpose is not READER:
                raise ModelError(
                    f"the {purpose.noun} {model} is not on this machine and the hub cannot be reached ({error}); fetch "
                    f"it once with 'huggingface-cli download {model}', or set {purpose.setting} to a folder"
                ) from error
            return _bundled(
                f"the reader {model} is not on this machine and the hub cannot be reached ({error}); "
                f"answers come from the smaller bundled reader. Fetch it once with "
                f"'huggingface-cli download {model}', or set reader.model to 'bundled' to make this the choice"
            )
    check_model(folder, purpose)
    return ResolvedModel(model, folder)


def _local(model: str, purpose: Purpose) -> Path | None:
    """The folder that ``model`` names, there or not; None where it can only be a name on the hub."""
    try:
        path = Path(model).expanduser()
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # Too long, an unknown user's home, a NUL.
        raise ModelError(f"{purpose.setting} = {model[:200]!r} is neither a folder nor a name on the hub") from error
    return path if there or path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1 else None


def _bundled(notice: str | None) -> ResolvedModel:
    check_model(BUNDLED_FOLDER)
    if notice:
        logger.warning("%s", notice)
    return ResolvedModel(BUNDLED, BUNDLED_FOLDER, notice)


class _HubUnreachableError(Exception):
    """No answer from the hub, for a reason that is not the model's."""


def _cached(model: str, purpose: Purpose) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelError(f"{purpose.setting} = {model!r} is neither a folder nor a name on the hub: {error}") from error
    # A download that was broken off leaves a snapshot without its weights; it is completed, not used.
    return folder if has_weights(folder) and (folder / "config.json").is_file() else None


def _downloaded(model: str, purpose: Purpose) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        names = {file.rfilename for file in HfApi().model_info(model, timeout=_HUB_SECONDS).siblings or []}
        wanted = (
            _PATTERNS if any(name.endswith(".safetensors") for name in names) else [*_PATTERNS, "pytorch_model.bin"]
        )
        logger.warning("fetching the %s %s from the hub, once", purpose.noun, model)
        return Path(snapshot_download(model, allow_patterns=wanted, ignore_patterns=["*/*"], etag_timeout=_HUB_SECONDS))
    except (RepositoryNotFoundError, GatedRepoError) as error:
        raise ModelError(
            f"the hub has no model {model!r} that you may read; see how the name is spelt, or log in with "
            "'huggingface-cli login'"
        ) from error
    except HfHubHTTPError as error:
        raise _HubUnreachableError(_brief(error)) from error
    except (OSError, RuntimeError, ValueError) as error:
        # requests' connection errors and offline mode are OSErrors; a blocked socket is a RuntimeError.
        raise _HubUnreachableError(_brief(error)) from error


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 120 else type(error).__name__
