"""t2i/topics: the topic of every picture, from the words of its caption.

A topic is hit when one of its words or phrases stands in the caption as whole words, in any case. The
first topic of the recipe with a hit wins; a caption without a hit, or no caption, is `other`.
"""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa

from infra.job import JobSpec
from infra.manifest import Manifest, Output
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
from jobs.specs import TopicSettings


def run(spec: JobSpec[TopicSettings], report: Reporter) -> Manifest:
    """Give every kept picture of the drop its topic; rejects nothing."""
    folder = only_input(spec, "t2i/filtered")
    catalogue = kept_rows(read_catalogue(folder))
    classify = TopicClassifier(spec.settings.topics)
    topics = [classify(caption) for caption in catalogue["caption"].to_pylist()]
    report.progress(len(topics), len(topics), "captions")
    catalogue = set_column(catalogue, "topic", topics, pa.string())
    figures = {"topics": dict(sorted(Counter(topics).items()))}
    files = publish_stage(Output(spec.output), catalogue, folder)
    return commit(spec, files, count_rows(catalogue), figures)


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
