"""The topic of a picture, from what it shows: the topic whose words lie nearest in the encoder's space.

Pictures are embedded one at a time on one CPU thread, so a picture's topic is a pure function of the
picture, the encoder and the topics, whatever is classified beside it.

Shapes: B pictures, K topics, W words of a topic, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import FileEntry, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.curate.stage import only_input
from jobs.recipe import Topics
from jobs.semantic.encoder import DualEncoder, load_encoder
from jobs.semantic.pictures import read_thumbnails
from jobs.specs.t2i import TopicSettings
from jobs.units import Unit, run_units

_SCHEMA = pa.schema([("source", pa.string()), ("topic", pa.string()), ("topic_probability", pa.float64())])


@dataclass(frozen=True)
class Verdict:
    """The topic of a picture, and the probability of the best topic, which `other` may have replaced."""

    topic: str
    probability: float | None
    """None where there are no topics."""


class PictureClassifier:
    """Zero-shot classification of pictures (CLIP, arXiv 2103.00020, section 3.1)."""

    def __init__(self, encoder: DualEncoder, topics: Topics) -> None:
        self._encoder, self._topics = encoder, topics
        words = {name: words for name, words in topics.taxonomy.items() if words}
        self._names = list(words)
        self._topics_KD = [_embed_topic(encoder, topics.prompt, words[name]) for name in self._names]

    def __call__(self, picture: Image.Image) -> Verdict:
        """The topic of an RGB picture."""
        if not self._names:
            return Verdict(self._topics.other, None)
        cosines_K = self._encoder.images([picture])[0] @ torch.stack(self._topics_KD).T
        probabilities_K = (self._encoder.scale * cosines_K.double()).softmax(dim=0)
        best = int(probabilities_K.argmax())
        probability = float(probabilities_K[best])
        sure = probability >= self._topics.min_probability
        return Verdict(self._names[best] if sure else self._topics.other, probability)


class TopicWorker:
    """A worker: built once, called with units, whose payload is the sources of a shard's pictures."""

    def __init__(self, output: Output, folder: str, encoder: str, topics: Topics) -> None:
        torch.set_num_threads(1)
        self._output, self._folder = output, folder
        self._classify = PictureClassifier(load_encoder(encoder), topics)

    def __call__(self, unit: Unit[frozenset[str]]) -> Receipt:
        """Publish `data/<shard>.topics.parquet`."""
        rows = []
        for source, picture in read_thumbnails(self._folder, unit.name, unit.payload):
            verdict = self._classify(picture)
            rows.append({"source": source, "topic": verdict.topic, "topic_probability": verdict.probability})
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        entry = self._output.publish_table(f"data/{unit.name}.topics.parquet", table)
        return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=unit.size, kept=unit.size))


def classify_drop(
    spec: JobSpec[TopicSettings], catalogue: pa.Table, report: Reporter
) -> tuple[dict[str, Verdict], list[FileEntry]]:
    """Classify the pictures of a catalogue of kept rows.

    Returns:
        The verdict on each source, and the files that hold them.

    Raises:
        UserError: there is no encoder.
    """
    output, topics = Output(spec.output), spec.settings.topics
    folder = only_input(spec, "t2i/filtered")
    arguments = (output, folder, _encoder_of(spec), topics)
    receipts = run_units(
        output,
        _units(catalogue),
        TopicWorker,
        report,
        spec.resources,
        arguments=arguments,
        noun="pictures",
    )
    files = [file for receipt in receipts for file in receipt.files]
    found = [read_table(storage.join(spec.output, file.path)).to_pylist() for file in files]
    verdicts = {r["source"]: Verdict(r["topic"], r["topic_probability"]) for rows in found for r in rows}
    return verdicts, files


def _embed_topic(encoder: DualEncoder, prompt: str, words: Sequence[str]) -> Tensor:
    """A topic's place [D], of length one: the middle of its words, each in the prompt's sentence."""
    texts_WD = encoder.texts([prompt.replace("{}", word) for word in words])
    return functional.normalize(texts_WD.mean(dim=0), dim=0)


def _encoder_of(spec: JobSpec[TopicSettings]) -> str:
    """Where the encoder is: trained by a job before, or named by the recipe."""
    trained = spec.inputs.get("tokenizer/semantic", [])
    place = spec.settings.pretrained or (trained[0] if trained else None)
    if place is None:
        what = "topics by picture need a semantic encoder, and there is none"
        raise UserError(what, "topics.by", "Name one as tokenizer.semantic.pretrained")
    return place


def _units(catalogue: pa.Table) -> list[Unit[frozenset[str]]]:
    shards: dict[str, set[str]] = {}
    for shard, source in zip(catalogue["shard"].to_pylist(), catalogue["source"].to_pylist(), strict=True):
        shards.setdefault(shard, set()).add(source)
    return [Unit(shard, frozenset(shards[shard]), len(shards[shard])) for shard in sorted(shards)]
