"""One shard: its links fetched, or its records listed where they are no URLs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from infra.catalogue import count
from infra.document import Family
from infra.manifest import Output, Receipt
from infra.storage import publish_bytes
from jobs.fetch.client import Client
from jobs.fetch.ledger import LEDGER_SCHEMA, Row, link_row, listed_row
from jobs.fetch.rounds import Earlier, Pointer, pointer_uri, read_pointer
from jobs.fetch.stream import Fetched, fetch_in_order
from jobs.fetch.tars import TarWriter
from jobs.recipe.sources import Fetch, Mix, OmniCorpusSource, Source, UrlSource
from jobs.sources import omnicorpus, url_lists
from jobs.sources.fetched import Link
from jobs.sources.read import read_pictures
from jobs.sources.shards import Shard
from jobs.units import Unit


def fetch_shard(
    unit: Unit[Shard], output: Output, source: Source, family: Family, cache: str | None
) -> Receipt:
    """Publish the ledger of one shard, and the tars of its pictures where they are URLs.

    Raises:
        UserError: a column of the list is missing.
    """
    shard = unit.payload
    one = source.parts[shard.part] if isinstance(source, Mix) else source
    if not isinstance(one, UrlSource):
        # No byte is allowed, so that records come without their pictures.
        rows = [listed_row(record.source, family) for record in read_pictures(source, shard, 0)]
        return _publish(output, shard, rows, None)
    place = pointer_uri(cache, f"{family}/fetched", one, shard) if cache else None
    pointer = read_pointer(place) if place else None
    if pointer and pointer.output == output.uri:
        return pointer.receipt  # killed between its last file and its receipt
    tars = TarWriter(output, unit.name)
    with TemporaryDirectory(prefix="nextscale-fetch-") as folder:
        rows = asyncio.run(
            _fetch(_links(one, shard), one.fetch, Earlier(pointer), tars, family, Path(folder))
        )
    receipt = _publish(output, shard, rows, tars)
    if place:
        text = Pointer(output=output.uri, receipt=receipt).model_dump_json()
        publish_bytes(place, text.encode())
    return receipt


def _links(source: UrlSource, shard: Shard) -> Iterator[Link]:
    if isinstance(source, OmniCorpusSource):
        return omnicorpus.links(source, shard)
    return url_lists.links(source, shard)


async def _fetch(
    links: Iterable[Link], limits: Fetch, earlier: Earlier, tars: TarWriter, family: Family, folder: Path
) -> list[Row]:
    """The ledger's rows of some links, in their order; the pictures that came are in the tars."""
    rows = []
    async with Client(limits) as client:
        async for one in fetch_in_order(client, links, earlier.outcome, folder):
            picture = _picture(one, earlier)
            outcome = one.outcome if one.known else earlier.all_attempts(one.link, one.outcome)
            row = link_row(one.link, outcome, family, picture)
            if picture is not None:
                row |= await tars.add(one.link, str(outcome.suffix), picture)
            rows.append(row)
    await tars.publish()
    return rows


def _picture(one: Fetched, earlier: Earlier) -> bytes | None:
    """The picture of a kept link; its file is gone after."""
    try:
        if one.outcome.status != "kept":
            return None
        return earlier.picture(one.link) if one.known else one.path.read_bytes()
    finally:
        one.path.unlink(missing_ok=True)


def _publish(output: Output, shard: Shard, rows: list[Row], tars: TarWriter | None) -> Receipt:
    rows = [row | {"part": shard.part, "shard": shard.name} for row in rows]
    table = pa.Table.from_pylist(rows, schema=LEDGER_SCHEMA)
    ledger = output.publish_table(f"data/{shard.name}.ledger.parquet", table)
    counts = count(len(rows), [(row["status"], row.get("reason")) for row in rows])
    return Receipt(unit=shard.name, files=(ledger, *(tars.files if tars else ())), counts=counts)
