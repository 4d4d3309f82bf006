"""Text: from raw texts to a mix."""

from __future__ import annotations

from assets.checks.curation import DOCUMENTS
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.checks.text import MIXTURE, THRESHOLDS
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from jobs.specs.text import TextFilterSettings, TextMixSettings, TextScoreSettings


def assets(recipe: Recipe) -> list[JobAsset]:
    """The stages, in order; none where the recipe has no source of text."""
    source, curation = recipe.sources.text, recipe.curation.text
    if source is None:
        return []
    records = (CONSERVATION, UNIQUE_SOURCES)
    return [
        JobAsset(
            key="text/scored",
            group="curation_text",
            job="jobs.curate.text.score:run",
            area="curated/text/scored",
            inputs=("raw/text",),
            settings=lambda _recipe, _: TextScoreSettings(source=source, max_bytes=curation.max_bytes),
            description="Every text measured: length, words, repetition, and a signature for duplicates.",
            partitioning="drop",
            family="text",
            checks=records,
            version="2",
        ),
        JobAsset(
            key="text/filtered",
            group="curation_text",
            job="jobs.curate.text.filter:run",
            area="curated/text/filtered",
            inputs=("text/scored",),
            records_from=("text/scored",),
            settings=lambda _recipe, _: TextFilterSettings(
                filters=curation.filters, duplicates=curation.duplicates
            ),
            description="Texts that satisfy every threshold and are no duplicates.",
            partitioning="drop",
            family="text",
            checks=(*records, UNIQUE_IDS, THRESHOLDS),
            version="2",
        ),
        JobAsset(
            key="text/mixed",
            group="curation_text",
            job="jobs.curate.text.mix:run",
            area="curated/text/mixed",
            inputs=("text/filtered",),
            records_from=("text/filtered",),
            settings=lambda _recipe, _: TextMixSettings(
                source=source, max_bytes=curation.max_bytes, weights=curation.weights
            ),
            description="The curated texts: every subset with its share, as WebDataset tars.",
            family="text",
            checks=(*records, UNIQUE_IDS, MIXTURE, DOCUMENTS),
            version="2",
        ),
    ]
