"""t2i/selected: what stays by looks and by meaning, a pure function of stored scores and embeddings.

First `low_aesthetic`, then `embedding_duplicate`: of the pictures of a drop that mean the same the first
stays, in the order of their sources. Pictures are not opened.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from infra.document import format_id
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.duplicates import embedding_duplicates
from jobs.curate.figures import selected_figures
from jobs.curate.pictures import show_selected
from jobs.curate.stage import (
    commit,
    count_rows,
    kept_rows,
    only_input,
    publish_stage,
    read_catalogue,
    reject,
    set_column,
)
from jobs.curate.t2i.embeddings import Halves, read_embeddings
from jobs.recipe.curation.t2i import Selection
from jobs.specs.t2i import SelectSettings


def run(spec: JobSpec[SelectSettings], report: Reporter) -> Manifest:
    """Decide about the filtered pictures of the drop; publish the catalogue and contact sheets."""
    folder, embedded = only_input(spec, "t2i/filtered"), only_input(spec, "t2i/embedded")
    catalogue = _with_aesthetics(kept_rows(read_catalogue(folder)), read_catalogue(embedded))
    vectors_ND = read_embeddings(embedded, catalogue["source"].to_pylist())
    catalogue = select(catalogue, vectors_ND, spec.settings.selection)
    report.progress(len(catalogue), len(catalogue), "pictures")
    output = Output(spec.output)
    show_selected(output, report, catalogue, only_input(spec, "t2i/scored"))
    files = publish_stage(output, catalogue, folder)
    return commit(spec, files, count_rows(catalogue), selected_figures(catalogue))


def select(catalogue: pa.Table, vectors_ND: Halves, selection: Selection) -> pa.Table:
    """Set status, reason and detail, `duplicate_of`, and `similarity` to that picture.

    Args:
        catalogue: kept rows with `aesthetic`, by source.
        vectors_ND: their embeddings.
        selection: the thresholds.
    """
    reasons: list[str | None] = [None] * len(catalogue)
    details: list[str | None] = [None] * len(catalogue)
    if (least := selection.min_aesthetic) is not None:
        for row, score in enumerate(catalogue["aesthetic"].to_pylist()):
            if score < least:
                reasons[row], details[row] = "low_aesthetic", f"{score:.3g}, the limit is {least:g}"
    first_of = _duplicates(vectors_ND, reasons, selection.min_similarity)
    ids = catalogue["sample_id"].to_pylist()
    for row, (first, similarity) in first_of.items():
        reasons[row] = "embedding_duplicate"
        details[row] = f"{similarity:.4f} like {format_id(ids[first])}"
    firsts = [ids[first_of[row][0]] if row in first_of else None for row in range(len(ids))]
    similarities = [first_of[row][1] if row in first_of else None for row in range(len(ids))]
    catalogue = set_column(reject(catalogue, reasons, details), "duplicate_of", firsts, pa.uint64())
    return set_column(catalogue, "similarity", similarities, pa.float64())


def _duplicates(
    vectors_ND: Halves, reasons: list[str | None], min_similarity: float | None
) -> dict[int, tuple[int, float]]:
    """Rows that mean the same as an earlier one that stays, with it and the cosine."""
    if min_similarity is None:
        return {}
    rows = [row for row, reason in enumerate(reasons) if reason is None]
    found = embedding_duplicates(vectors_ND[rows], min_similarity)
    return {
        row: (rows[match[0]], match[1]) for row, match in zip(rows, found, strict=True) if match is not None
    }


def _with_aesthetics(kept: pa.Table, embedded: pa.Table) -> pa.Table:
    """Filtered rows with their `aesthetic`; both catalogues are sorted by source."""
    scored = embedded.filter(pc.is_in(embedded["source"], kept["source"].combine_chunks()))
    assert scored["source"].equals(kept["source"]), "embedded are the pictures that were scored"
    return kept.append_column("aesthetic", scored["aesthetic"])
