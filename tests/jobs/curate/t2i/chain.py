"""The stages of text-to-image curation in order, each job run on the outputs of those before."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from infra.job import Job, JobSpec, Resources
from infra.manifest import Output
from infra.reporter import SilentReporter
from jobs.curate.t2i import balance, caption, embed, score, select, topics
from jobs.curate.t2i import filter as filter_job
from jobs.recipe import Section, Source, T2ICuration
from jobs.recipe.vlm import VlmSettings
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.t2i import (
    BalanceSettings,
    CaptionSettings,
    EmbedSettings,
    FilterSettings,
    ScoreSettings,
    SelectSettings,
    TopicSettings,
)

Step = tuple[str, Job, tuple[str, ...], Section]


def run_stages(
    source: Source,
    home: Path,
    curation: T2ICuration,
    *,
    finished: dict[str, str] | None = None,
    only: Collection[str] | None = None,
    workers: int | None = None,
    encoder: str | None = None,
    vlm: VlmSettings | None = None,
    cache: str | None = None,
) -> dict[str, str]:
    """Run the stages that a recipe's section asks for; the output folder of each.

    Args:
        source: listed as one drop.
        home: folder of the outputs.
        curation: the section.
        finished: outputs that are there already.
        only: names of the stages to run; all where it is left out.
        workers: of each job.
        encoder: a pretrained semantic encoder.
        vlm: who captions.
        cache: of the VLM's answers.
    """
    folders = dict(finished or {})
    if not folders:
        folders["raw/t2i"] = str(home / "raw")
        publish_shards(Output(folders["raw/t2i"]), list_shards("t2i", source))
    for name, job, inputs, settings in steps(source, curation, encoder, vlm):
        if only is not None and name not in only:
            continue
        folders[name] = str(home / name)
        spec = JobSpec[type(settings)](  # type: ignore[misc]
            asset=f"t2i/{name}",
            partition="t2i-0000",
            fingerprint="f",
            inputs={key: [folders[key.removeprefix("t2i/")]] for key in inputs},
            output=folders[name],
            cache=cache,
            settings=settings,
            resources=Resources(workers=workers),
        )
        job(spec, SilentReporter())
    return folders


def steps(source: Source, curation: T2ICuration, encoder: str | None, vlm: VlmSettings | None) -> list[Step]:
    """Name, job, inputs and settings of each stage, in order."""
    filters, embedding = curation.filters, curation.embedded
    sizes = {"max_bytes": filters.max_bytes, "max_pixels": filters.max_pixels}
    judged = FilterSettings(filters=filters, duplicates=curation.duplicates)
    embedded: list[Step] = []
    if embedding is not None:
        pixels = filters.max_pixels
        vectors = EmbedSettings(source=source, max_pixels=pixels, embedding=embedding, pretrained=encoder)
        inputs = ("t2i/filtered", "t2i/embedded", "t2i/scored")
        embedded = [
            ("embedded", embed.run, ("t2i/scored",), vectors),
            ("selected", select.run, inputs, SelectSettings(selection=curation.selection)),
        ]
    before = "t2i/selected" if embedded else "t2i/filtered"
    read = (before, "t2i/embedded") if curation.topics.by == "picture" else (before,)
    told = TopicSettings(
        topics=curation.topics,
        order=list(curation.topics.taxonomy),
        embedding=embedding,
        pretrained=encoder,
    )
    captions = CaptionSettings(source=source, captions=curation.captions, vlm=vlm)
    return [
        ("scored", score.run, ("raw/t2i",), ScoreSettings(source=source, **sizes)),
        ("filtered", filter_job.run, ("t2i/scored",), judged),
        *embedded,
        ("topics", topics.run, read, told),
        ("balanced", balance.run, ("t2i/topics",), BalanceSettings(balance=curation.balance)),
        ("captioned", caption.run, ("t2i/balanced",), captions),
    ]
