"""t2i/topics: the topic of every picture, from the words of its caption or from what it shows.

By caption, a topic is hit when one of its words or phrases stands in the caption as whole words, in any
case. The first topic of the recipe with a hit wins; a caption without a hit, or no caption, is `other`.
By picture, the semantic encoder says which topic's words are nearest (see `jobs.semantic.zero_shot`).
"""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa

from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output
from infra.reporter import Reporter
from jobs.curate.stage import (
    commit,
    count_rows,
    kept_rows,
    only_input,
    publish_stage,
    read_catalogue,
    set_column,
)
from jobs.recipe import Topics
from jobs.specs.t2i import TopicSettings


def run(spec: JobSpec[TopicSettings], report: Reporter) -> Manifest:
    """Give every kept picture of the drop its topic; rejects nothing."""
    folder = only_input(spec, "t2i/filtered")
    kept = kept_rows(read_catalogue(folder))
    by_picture = spec.settings.topics.by == "picture"
    catalogue, made = _by_picture(spec, kept, report) if by_picture else (_by_caption(spec, kept, report), [])
    figures = {"topics": dict(sorted(Counter(catalogue["topic"].to_pylist()).items()))}
    files = publish_stage(Output(spec.output), catalogue, folder)
    return commit(spec, [*files, *made], count_rows(catalogue), figures)


def _by_caption(spec: JobSpec[TopicSettings], kept: pa.Table, report: Reporter) -> pa.Table:
    """Add the column `topic`."""
    classify = TopicClassifier(spec.settings.topics)
    topics = [classify(caption) for caption in kept["caption"].to_pylist()]
    report.progress(len(topics), len(topics), "captions")
    return set_column(kept, "topic", topics, pa.string())


def _by_picture(
    spec: JobSpec[TopicSettings], kept: pa.Table, report: Reporter
) -> tuple[pa.Table, list[FileEntry]]:
    """Add the columns `topic` and `topic_probability`; also the files that the workers left."""
    from jobs.semantic.zero_shot import classify_drop  # loads torch, which captions do without

    found, files = classify_drop(spec, kept, report)
    verdicts = [found[source] for source in kept["source"].to_pylist()]
    table = set_column(kept, "topic", [verdict.topic for verdict in verdicts], pa.string())
    probabilities = [verdict.probability for verdict in verdicts]
    return set_column(table, "topic_probability", probabilities, pa.float64()), files


class TopicClassifier:
    """Finds topics by a taxonomy of words."""

    def __init__(self, topics: Topics) -> None:
        self._other = topics.other
        self._patterns = [(name, _pattern(words)) for name, words in topics.taxonomy.items() if words]

    def __call__(self, caption: str | None) -> str:
        """The topic of a caption."""
        text = _fold(caption or "")
        return next((name for name, pattern in self._patterns if pattern.search(text)), self._other)


def _pattern(words: list[str]) -> re.Pattern[str]:
    choices = "|".join(re.escape(_fold(word)) for word in words)
    return re.compile(rf"(?<!\w)(?:{choices})(?!\w)")


def _fold(text: str) -> str:
    """Case and whitespace folded, so that phrases match across line breaks."""
    return " ".join(text.casefold().split())
