"""Fetching, for families whose source lists URLs: the stage before all others."""

from __future__ import annotations

from assets.checks.fetch import AS_LISTED, ENOUGH, WITHIN_LIMITS
from assets.checks.records import CONSERVATION, UNIQUE_SOURCES
from assets.job_asset import JobAsset
from infra.document import Family
from jobs.recipe import Recipe, Source
from jobs.recipe.sources import is_fetched
from jobs.sources.discover import raw_asset
from jobs.specs.fetch import FetchSettings

_ONLY_PACE = {"fetch": {"connections", "per_host", "contact", "max_errored"}}
"""Settings that do not change what is made, and those that only checks read."""


def assets(recipe: Recipe) -> list[JobAsset]:
    """A stage for each family whose pictures, or some of them, are URLs."""
    return [_asset(family, source) for family, source in recipe.sources.given().items() if is_fetched(source)]


def records_asset(recipe: Recipe, family: Family) -> str:
    """The asset whose shards hold a family's records: fetched pictures, or the raw data as it is."""
    source = recipe.sources.given().get(family)
    return f"{family}/fetched" if source and is_fetched(source) else raw_asset(family)


def _asset(family: Family, source: Source) -> JobAsset:
    return JobAsset(
        key=f"{family}/fetched",
        group=f"curation_{family}",
        job="jobs.fetch.run:run",
        area=f"curated/{family}/fetched",
        inputs=(raw_asset(family),),
        settings=lambda _recipe, _partition: FetchSettings(source=source),
        description="The pictures behind the source's URLs, and a ledger of what each server said.",
        partitioning="drop",
        family=family,
        checks=(CONSERVATION, UNIQUE_SOURCES, AS_LISTED, WITHIN_LIMITS, ENOUGH),
        version="2",
        thresholds={"source": {**_ONLY_PACE, "parts": {"__all__": _ONLY_PACE}}},
    )
