"""What fetching shows people: what became of the URLs, and a fair sample of the pictures that came."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from infra.manifest import Output
from infra.reporter import Reporter
from jobs.images import DecodeError, decode
from jobs.pictures.charts import bar_chart
from jobs.pictures.sheets import contact_sheet
from jobs.sources.fetched import iter_pictures
from jobs.sources.shards import Shard

SHEET_PICTURES = 24
_SIDE = 256
_MAX_BYTES = 50_000_000


def show_fetched(output: Output, report: Reporter, catalogue: pa.Table, shards: list[Shard]) -> None:
    """Bars of the outcomes, and a contact sheet of pictures chosen by a hash of their place."""
    links = catalogue.filter(catalogue["url"].is_valid())
    outcomes = _outcomes(links)
    if outcomes:
        png = bar_chart(outcomes, "What became of the URLs", "URLs")
        report.picture("outcomes", output.picture("outcomes", png))
    sample = list(_sample(links, shards))
    if sample:
        png = contact_sheet([image for image, _ in sample], [label for _, label in sample])
        report.picture("fetched", output.picture("fetched", png))


def _outcomes(links: pa.Table) -> dict[str, float]:
    """URLs by outcome: kept ones, then reasons by how many they are; those worth another try say so."""
    pairs = Counter(zip(links["status"].to_pylist(), links["reason"].to_pylist(), strict=True))
    ranked = sorted(pairs.items(), key=lambda item: (item[0][0] != "kept", -item[1], str(item[0])))
    return {_words(status, reason): float(number) for (status, reason), number in ranked}


def _words(status: str, reason: str | None) -> str:
    again = " (try again)" if status == "errored" else ""
    return f"{reason or status}{again}".replace("_", " ")


def _sample(links: pa.Table, shards: list[Shard]) -> Iterator[tuple[Image.Image, str]]:
    kept = links.filter(pc.equal(links["status"], "kept")).select(["source", "shard"]).to_pylist()
    kept.sort(key=lambda row: hashlib.sha256(row["source"].encode()).digest())
    chosen = kept[:SHEET_PICTURES]
    wanted = frozenset(row["source"] for row in chosen)
    names = {row["shard"] for row in chosen}
    for shard in shards:
        if shard.name not in names:
            continue
        for record in iter_pictures(shard, _MAX_BYTES, wanted):
            try:
                image = decode(record.image or b"")
            except DecodeError:
                continue  # the next stage says what is wrong with it
            image.thumbnail((_SIDE, _SIDE))
            yield image, record.caption or record.source.rpartition("#")[2]
