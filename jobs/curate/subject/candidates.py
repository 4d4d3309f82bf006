"""subject/candidates: pairs of pictures of one group that look neither unlike nor alike.

Here the unit changes from pictures to pairs: *in* is every pair of two kept pictures of one group. So the
stage accounts for no picture of the stage before, and conserves pairs.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.stage import CATALOGUE, commit, count_rows, kept_rows, only_input, read_catalogue, reject
from jobs.curate.subject.pairs import Pairs, judge_pairs, pairs_within
from jobs.curate.subject.pictures import Thumbnails, show_candidates
from jobs.curate.t2i.embeddings import read_embeddings
from jobs.curate.t2i.score import in_order
from jobs.sources.shards import publish_shards, read_shards
from jobs.specs.subject import CandidateSettings

JOINT = " + "
"""Between the sources of both pictures in the source of a pair."""


def run(spec: JobSpec[CandidateSettings], report: Reporter) -> Manifest:
    """Consider every pair of the drop once."""
    output = Output(spec.output)
    folder = only_input(spec, "subject/grouped")
    pictures = kept_rows(read_catalogue(folder)).sort_by([("group", "ascending"), ("source", "ascending")])
    embeddings_ND = read_embeddings(only_input(spec, "subject/embedded"), pictures["source"].to_pylist())
    pairs = pairs_within(pictures["group"].to_pylist(), pictures["sha256"].to_pylist(), embeddings_ND)
    catalogue = _catalogue(pictures, pairs, spec.settings)
    report.progress(len(catalogue), len(catalogue), "pairs")
    files = [output.publish_table(CATALOGUE, catalogue), publish_shards(output, read_shards(folder))]
    show_candidates(output, report, catalogue, Thumbnails(only_input(spec, "subject/scored"), pictures))
    return commit(spec, files, count_rows(catalogue), _figures(catalogue))


def _catalogue(pictures: pa.Table, pairs: Pairs, settings: CandidateSettings) -> pa.Table:
    """One row per pair, with the sources of both pictures."""
    reference, target = pa.array(pairs.reference_P), pa.array(pairs.target_P)
    sources = [pictures["source"].take(side).combine_chunks() for side in (reference, target)]
    table = pa.table(
        {
            "sample_id": pa.array(pairs.ids, pa.uint64()),
            "source": pc.binary_join_element_wise(*sources, JOINT),
            "group": pictures["group"].take(reference),
            "reference": sources[0],
            "target": sources[1],
            "similarity": pa.array(pairs.similarity_P),
        }
    )
    reasons = judge_pairs(pairs, settings)
    details = [_detail(reason, settings) for reason in reasons]
    return in_order(reject(table, reasons, details)).sort_by("source")


def _detail(reason: str | None, settings: CandidateSettings) -> str | None:
    """The limit that a pair is beyond."""
    limits = {
        "dissimilar": f"the limit is {settings.min_similarity:g}",
        "too_similar": f"the limit is {settings.max_similarity:g}",
        "repeated": "another group has the same two files",
        "over_limit": f"a picture stands in {settings.pairs_per_picture} pairs",
    }
    return limits[reason] if reason else None


def _figures(catalogue: pa.Table) -> dict[str, Any]:
    kept = kept_rows(catalogue)
    pictures = Counter(kept["reference"].to_pylist()) + Counter(kept["target"].to_pylist())
    return {"groups": len(set(kept["group"].to_pylist())), "pictures": len(pictures)}
