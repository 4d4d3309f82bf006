"""Texts through the whole of text curation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.job import JobSpec, Resources
from infra.manifest import Output
from infra.reporter import SilentReporter
from jobs.curate.text import filter as filter_job
from jobs.curate.text import mix, score
from jobs.recipe.curation.text import TextDuplicates, TextFilters
from jobs.recipe.sources import Source
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.text import TextFilterSettings, TextMixSettings, TextScoreSettings

FILTERS = TextFilters(min_words=30)


class Curation:
    """The stages of one source, each into a folder of its own."""

    def __init__(self, folder: Path, source: Source, drops: int = 1) -> None:
        self.folder, self.source = folder, source
        shards = list_shards("text", source)
        size = -(-len(shards) // drops)
        self.raw = {}
        for number in range(drops):
            name = f"text-{number:04d}"
            place = folder / "raw" / name
            publish_shards(Output(str(place)), shards[number * size : (number + 1) * size])
            self.raw[name] = str(place)

    def run(self, workers: int = 2, weights: dict[str, float] | None = None, seed: int = 0) -> Path:
        """All stages; the folder of the last."""
        filtered = []
        for name, raw in self.raw.items():
            scored = self._job(score.run, f"scored-{name}", {"raw/text": [raw]}, self._score(), workers, name)
            settings = TextFilterSettings(filters=FILTERS, duplicates=TextDuplicates())
            inputs = {"text/scored": [scored]}
            filtered.append(self._job(filter_job.run, f"filtered-{name}", inputs, settings, workers, name))
        settings = TextMixSettings(source=self.source, max_bytes=100_000, weights=weights or {})
        return Path(self._job(mix.run, "mixed", {"text/filtered": filtered}, settings, workers, None, seed))

    def _score(self) -> TextScoreSettings:
        return TextScoreSettings(source=self.source, max_bytes=100_000)

    def _job(
        self,
        run: Any,
        name: str,
        inputs: dict[str, list[str]],
        settings: Any,
        workers: int,
        partition: str | None,
        seed: int = 0,
    ) -> str:
        output = str(self.folder / name)
        spec = JobSpec(
            asset=f"text/{name.split('-')[0]}",
            partition=partition,
            fingerprint="0" * 16,
            seed=seed,
            inputs=inputs,
            output=output,
            settings=settings,
            resources=Resources(workers=workers),
        )
        run(spec, SilentReporter())
        return output
