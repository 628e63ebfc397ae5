"""One generation's folder: its manifest, its checksums, its opened datasets (spec 06.1).

Lives here: reading and verifying ``generations/<id>/``. Does not belong here: what a dataset's rows
mean (``store.serving.dataset``), which generation is live (``store.serving.follower``), or writing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from store.serving.dataset import CorruptGeneration, Dataset, DatasetInfo

FORMAT: Final = 1
READABLE_FORMATS: Final = (FORMAT, FORMAT - 1)
MANIFEST: Final = "_manifest.json"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class GenerationCounts:
    """Rows that the products behind a generation took, kept, rejected and filtered (``product.stage.reason``)."""

    rows_in: int
    rows_out: int
    rejected: int
    filtered: Mapping[str, int]


@dataclass(frozen=True)
class GenerationInfo:
    """What the manifest says of a generation; ``datasets`` in name order."""

    id: str
    as_of: datetime
    code_version: str
    config_hash: str
    datasets: tuple[DatasetInfo, ...]
    counts: GenerationCounts


class Generation:
    """One opened generation: its facts and its mapped datasets."""

    def __init__(self, folder: Path, info: GenerationInfo, datasets: Mapping[str, Dataset]) -> None:
        """Use :meth:`open`."""
        self.folder = folder
        self.info = info
        self.id = info.id
        self.as_of = info.as_of
        self.as_of_text = info.as_of.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.code_version = info.code_version
        self.config_hash = info.config_hash
        self.datasets = {dataset.name: dataset for dataset in info.datasets}
        self._opened = dict(datasets)

    @classmethod
    def open(cls, folder: Path) -> Generation:
        """Verify every file against the manifest, then map it.

        Raises :class:`CorruptGeneration` naming the file that is missing, altered or unreadable.
        """
        info = read_info(folder)
        for dataset in info.datasets:
            _verify_file(folder / dataset.path, dataset)
        return cls(folder, info, {d.name: Dataset(d, folder / d.path) for d in info.datasets})

    def dataset(self, name: str) -> Dataset | None:
        """A dataset by name, or None when this generation does not hold it."""
        return self._opened.get(name)


def read_info(folder: Path) -> GenerationInfo:
    """Read and check a generation's manifest (not the files it names).

    Raises :class:`CorruptGeneration` naming the manifest.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
        claimed = content.pop("manifest_sha256")
        if raw != sealed(content) or claimed != _digest(content):
            raise CorruptGeneration(f"{path}: sha256 differs from what the manifest says of itself")
        if content["format"] not in READABLE_FORMATS or content["kind"] != "generation":
            raise CorruptGeneration(f"{path}: not a generation of a format in {READABLE_FORMATS}")
        if content["id"] != folder.name:
            raise CorruptGeneration(f"{path}: is the manifest of {content['id']}")
        return GenerationInfo(
            id=content["id"],
            as_of=_instant(content["as_of"]),
            code_version=content["code_version"],
            config_hash=content["config_hash"],
            datasets=tuple(_dataset_info(name, entry) for name, entry in sorted(content["datasets"].items())),
            counts=_counts(content["counts"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CorruptGeneration(f"{path}: manifest cannot be read: {error!r}") from error


def sealed(content: Mapping[str, Any]) -> bytes:
    """A generation's manifest as stored: canonical JSON with the hash of its own content, one line."""
    return _canonical({**content, "manifest_sha256": _digest(content)}) + b"\n"


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _dataset_info(name: str, entry: Mapping[str, Any]) -> DatasetInfo:
    file = entry["files"][0]
    if Path(file["path"]).name != file["path"]:
        raise ValueError(f"{file['path']!r} is not a file of the generation's folder")
    return DatasetInfo(
        name=name,
        snapshot_id=entry["snapshot_id"],
        as_of=_instant(entry["as_of"]),
        is_carried_over=entry["is_carried_over"],
        rows=entry["rows"],
        bytes=file["bytes"],
        sha256=file["sha256"],
        path=file["path"],
    )


def _counts(entry: Mapping[str, Any]) -> GenerationCounts:
    return GenerationCounts(entry["in"], entry["out"], entry["rejected"], dict(entry["filtered"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _verify_file(path: Path, dataset: DatasetInfo) -> None:
    digest = hashlib.sha256()
    try:
        if (size := path.stat().st_size) != dataset.bytes:
            raise CorruptGeneration(f"{path}: {size} bytes, the manifest says {dataset.bytes}")
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CorruptGeneration(f"{path}: cannot be read: {error}") from error
    if digest.hexdigest() != dataset.sha256:
        raise CorruptGeneration(
            f"{path}: sha256 {digest.hexdigest()[:12]}… differs from the manifest's {dataset.sha256[:12]}…"
        )
