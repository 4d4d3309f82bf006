"""The small copies of pictures that scoring stores beside its scores."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from PIL import Image

from infra import storage
from infra.errors import UserError
from infra.manifest import read_table
from jobs.images import DecodeError, decode


def read_thumbnails(folder: str, shard: str, sources: Collection[str]) -> Iterator[tuple[str, Image.Image]]:
    """The thumbnails of some records of a shard, each with its source, in the shard's order.

    Args:
        folder: of a finished `t2i/scored`.
        shard: the shard's name.
        sources: whose thumbnails to give.

    Raises:
        UserError: one cannot be decoded.
    """
    uri = storage.join(folder, f"data/{shard}.scores.parquet")
    table = read_table(uri, ["source", "thumbnail"])
    for source, data in zip(table["source"].to_pylist(), table["thumbnail"], strict=True):
        if source in sources:
            yield source, _decode(data.as_py(), f"{uri}#{source}")


def _decode(data: bytes | None, where: str) -> Image.Image:
    try:
        return decode(data or b"")
    except DecodeError as error:
        what = f"a stored thumbnail cannot be decoded: {error.reason} ({error.detail})"
        raise UserError(what, where, "Remove its folder and score the drop again") from error
