"""What the job that fetches pictures is told."""

from __future__ import annotations

from jobs.recipe import Section, Source


class FetchSettings(Section):
    """<family>/fetched, input raw/<family>."""

    source: Source
