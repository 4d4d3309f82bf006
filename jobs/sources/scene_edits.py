"""Edits of the embedded world as a source: edit number n of a seed is always the same pair of pictures.

A fifth of the edits is the subset `careless`, which has four fifths of the wrong ones, as far as it has
room; the others are subsets by the type of their task: `clean-local`, `clean-global` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe.sources import SceneEditsSource
from jobs.sources import EditRecord
from jobs.sources.shards import Shard, drawn_shards

WANTED = "edits of scenes"

CARELESS = "careless"

_CARELESS_SHARE = 0.2
_SHARE_OF_WRONG = 0.8


def list_shards(source: SceneEditsSource, _files: Sequence[FileInfo]) -> list[Shard]:
    """Cut the edits into shards of `shard_records`."""
    return drawn_shards(f"scene_edits:{source.seed}/{source.size}", source.count, source.shard_records)


def read(
    source: SceneEditsSource, shard: Shard, _max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[EditRecord]:
    """Draw the edits of a shard; only those in `wanted`, if given."""
    for index in range(shard.start, shard.start + shard.records):
        place = f"{shard.files[0].uri}#{index:09d}"
        if wanted is None or place in wanted:
            yield _draw(place, index, source)


def wrong_shares(wrong: float) -> tuple[float, float]:
    """Shares of wrong edits in `careless` and in the other subsets, for a share over all."""
    careless = min(1.0, wrong * _SHARE_OF_WRONG / _CARELESS_SHARE)
    return careless, (wrong - _CARELESS_SHARE * careless) / (1 - _CARELESS_SHARE)


def _draw(place: str, index: int, source: SceneEditsSource) -> EditRecord:
    # Imported here: discovery lists edits without drawing any.
    from jobs.recipe.curation.edit import TASKS
    from jobs.scenes.edits import make_edit, sample_edit
    from jobs.scenes.world import random_for

    rng = random_for("careless", source.seed, index)
    careless = rng.random() < _CARELESS_SHARE
    wrong = rng.random() < wrong_shares(source.wrong)[0 if careless else 1]
    edit = sample_edit(source.seed, index)
    sample = make_edit(edit, source.size, rng, wrong)
    return EditRecord(
        place,
        (sample.before,),
        sample.after,
        sample.instruction,
        CARELESS if careless else f"clean-{TASKS[sample.task]}",
        sample.task,
        sample.truth,
    )
