"""t2i/topics: the topic of every picture, from the words of its caption or from what it shows.

By caption, a topic is hit when one of its words or phrases stands in the caption as whole words, in any
case. The first topic of the recipe with a hit wins; a caption without a hit, or no caption, is `other`.
By picture, the words of a topic are embedded and compared with the pictures' stored embeddings (see
`jobs.semantic.zero_shot`); no picture is opened.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pyarrow as pa

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.pictures import show_topics
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
    selected = "t2i/selected" in spec.inputs
    folder = only_input(spec, "t2i/selected" if selected else "t2i/filtered")
    kept = kept_rows(read_catalogue(folder))
    by_picture = spec.settings.topics.by == "picture"
    catalogue = _by_picture(spec, kept) if by_picture else _by_caption(spec, kept)
    report.progress(len(catalogue), len(catalogue), "pictures" if by_picture else "captions")
    topics = dict(sorted(Counter(catalogue["topic"].to_pylist()).items()))
    output = Output(spec.output)
    show_topics(output, report, topics)
    files = publish_stage(output, catalogue, folder)
    return commit(spec, files, count_rows(catalogue), {"topics": topics})


def _by_caption(spec: JobSpec[TopicSettings], kept: pa.Table) -> pa.Table:
    """Add the column `topic`."""
    classify = TopicClassifier(spec.settings.topics)
    topics = [classify(caption) for caption in kept["caption"].to_pylist()]
    return set_column(kept, "topic", topics, pa.string())


def _by_picture(spec: JobSpec[TopicSettings], kept: pa.Table) -> pa.Table:
    """Add the columns `topic` and `topic_probability`."""
    from jobs.semantic.zero_shot import classify_pictures  # loads torch, which captions do without

    verdicts = classify_pictures(spec, kept["source"].to_pylist())
    table = set_column(kept, "topic", [verdict.topic for verdict in verdicts], pa.string())
    probabilities = [verdict.probability for verdict in verdicts]
    return set_column(table, "topic_probability", probabilities, pa.float64())


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
    """Case, whitespace and spellings of one letter folded, so that phrases match across line breaks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
