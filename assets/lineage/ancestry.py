"""From documents up to the records of a source, and from records down to all that curation made of them.

Rows of catalogues point to what they were made from in one of three ways: by the same `source`, by
`reference` and `target` (sources of the pictures of a pair), or by `parents` (sample ids). Stages come inputs
first, so one pass over them goes all the way, in either direction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from assets.lineage.home import Home, catalogue_rows, is_first
from assets.lineage.match import Among, Condition, Row
from assets.locate import Place
from infra.document import format_id, parse_id

PAIR = ("reference", "target")
PARENTS = "parents"


@dataclass(frozen=True)
class Fate:
    """What became of a record at a stage of curation."""

    place: Place
    row: Row
    records: frozenset[str]
    """Source records that it is, or is made from."""

    @property
    def sample_id(self) -> str:
        """As users see it."""
        return format_id(self.row["sample_id"])


def ascend(home: Home, ids: Collection[int]) -> list[str]:
    """Source records that the samples with these ids are, or are made from, in alphabetical order.

    Equal content at two places is one sample of two records.
    """
    wanted, sources, records = set(ids), set[str](), set[str]()
    for place in reversed(home.curated):
        conditions: dict[str, Condition] = {"sample_id": Among(wanted), "source": Among(sources)}
        for row in catalogue_rows(place, conditions):
            if PAIR[0] in row:
                sources.update(row[side] for side in PAIR)
            elif row.get(PARENTS):
                wanted.update(parse_id(parent) for parent in row[PARENTS])
            else:
                sources.add(row["source"])
            if is_first(place):
                records.add(row["source"])
    return sorted(records)


def descend(home: Home, records: Iterable[str]) -> list[Fate]:
    """What every stage made of source records and of what was made from them, stage by stage."""
    by_source = {record: frozenset({record}) for record in records}
    by_id: dict[str, frozenset[str]] = {}
    fates = []
    for place in home.curated:
        sources = Among(by_source)
        conditions: dict[str, Condition] = dict.fromkeys(("source", *PAIR), sources)
        for row in catalogue_rows(place, conditions | {PARENTS: Among(by_id)}):
            fate = Fate(place, row, _records_of(row, by_source, by_id))
            fates.append(fate)
            by_source[row["source"]] = by_source.get(row["source"], frozenset()) | fate.records
            by_id[fate.sample_id] = by_id.get(fate.sample_id, frozenset()) | fate.records
    return fates


def _records_of(
    row: Row, by_source: dict[str, frozenset[str]], by_id: dict[str, frozenset[str]]
) -> frozenset[str]:
    """Which of the known source records a row goes back to."""
    sources = [row["source"], *(row[side] for side in PAIR if side in row)]
    found = [by_source.get(source) for source in sources]
    found += [by_id.get(parent) for parent in row.get(PARENTS) or ()]
    return frozenset[str]().union(*(records for records in found if records))
