"""Topics by picture: right where the encoder learnt something, and the same whatever runs beside."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

from infra.errors import UserError
from infra.job import JobSpec, Resources
from infra.manifest import read_manifest
from infra.reporter import SilentReporter
from jobs.curate.stage import read_catalogue
from jobs.curate.topics import run
from jobs.models import model_folder
from jobs.recipe import Topics
from jobs.semantic.encoder import load_encoder
from jobs.semantic.pictures import read_thumbnails
from jobs.semantic.zero_shot import PictureClassifier
from jobs.specs import SemanticSettings, TopicSettings

Spec = JobSpec[SemanticSettings]
Classify = Callable[..., JobSpec[TopicSettings]]

COLOURS = Topics(
    taxonomy={"warm": ["red", "orange", "yellow"], "cold": ["green", "cyan", "blue"], "none": []},
    by="picture",
    prompt="a {} square",
)
"""Scenes of one colour belong to one of these, or to neither."""


@pytest.fixture
def classify(tmp_path: Path, scenes: str) -> Classify:
    """`classify(encoder, name=..)` -> the spec of a finished topics job over the scenes."""

    def make(
        encoder: str | None, topics: Topics = COLOURS, name: str = "topics", workers: int = 1
    ) -> JobSpec[TopicSettings]:
        inputs = {"t2i/filtered": [scenes]} | ({"tokenizer/semantic": [encoder]} if encoder else {})
        spec = JobSpec[TopicSettings](
            asset="t2i/topics",
            fingerprint="f",
            inputs=inputs,
            output=str(tmp_path / name),
            settings=TopicSettings(topics=topics),
            resources=Resources(workers=workers),
        )
        run(spec, SilentReporter())
        return spec

    return make


def accuracy(output: str) -> float:
    """Share of right topics among scenes whose shapes are all warm or all cold."""
    right = []
    for row in read_catalogue(output).to_pylist():
        colours = {clause["color"] for clause in json.loads(row["truth"])["include"]}
        for topic in ("warm", "cold"):
            if colours <= set(COLOURS.taxonomy[topic]):
                right.append(row["topic"] == topic)
    assert len(right) > 200
    return sum(right) / len(right)


def test_a_trained_encoder_finds_topics_and_an_untrained_one_does_not(
    classify: Classify, trained: Spec, untrained: Spec
) -> None:
    assert accuracy(classify(trained.output, name="trained").output) > 0.85
    assert 0.3 < accuracy(classify(untrained.output, name="untrained").output) < 0.7


def test_every_picture_keeps_its_row(classify: Classify, trained: Spec, scenes: str) -> None:
    spec = classify(trained.output)
    manifest, table = read_manifest(spec.output), read_catalogue(spec.output)
    assert manifest.counts.total == manifest.counts.kept == len(table) == read_manifest(scenes).counts.kept
    assert manifest.metadata["topics"] == Counter(table["topic"].to_pylist())
    assert all(0.5 <= p <= 1 for p in table["topic_probability"].to_pylist())


def test_neither_workers_nor_other_pictures_change_anything(
    classify: Classify, trained: Spec, scenes: str
) -> None:
    one, two = classify(trained.output, name="one"), classify(trained.output, name="two", workers=2)
    assert read_manifest(one.output) == read_manifest(two.output)
    rows = {row["source"]: row for row in read_catalogue(one.output).to_pylist()}
    (first, *_) = rows.values()
    ((_, picture),) = read_thumbnails(scenes, first["shard"], {first["source"]})
    alone = PictureClassifier(load_encoder(trained.output), COLOURS)(picture)
    assert (alone.topic, alone.probability) == (first["topic"], first["topic_probability"])


def test_below_the_least_probability_the_topic_is_other(classify: Classify, trained: Spec) -> None:
    sure = COLOURS.model_copy(update={"min_probability": 0.8, "other": "rest"})
    before = read_catalogue(classify(trained.output, name="all").output).to_pylist()
    after = read_catalogue(classify(trained.output, sure, name="sure").output).to_pylist()
    expected = [row["topic"] if row["topic_probability"] >= 0.8 else "rest" for row in before]
    assert [row["topic"] for row in after] == expected
    assert 0 < expected.count("rest") < len(expected)
    assert [r["topic_probability"] for r in after] == [r["topic_probability"] for r in before]


def test_without_topics_all_is_other(classify: Classify, trained: Spec) -> None:
    table = read_catalogue(classify(trained.output, Topics(by="picture")).output)
    assert set(table["topic"].to_pylist()) == {"other"}
    assert set(table["topic_probability"].to_pylist()) == {None}


def test_topics_by_picture_without_an_encoder_is_one_line(classify: Classify) -> None:
    with pytest.raises(UserError, match="need a semantic encoder"):
        classify(None)


def test_a_prompt_without_a_place_is_one_line(classify: Classify, trained: Spec) -> None:
    with pytest.raises(UserError, match=r"'a photo' has no \{\} for the word"):
        classify(trained.output, COLOURS.model_copy(update={"prompt": "a photo"}))


def test_a_published_siglip2_serves_with_its_own_tokenizer(trained: Spec, tmp_path: Path) -> None:
    """A folder as the hub has them: no `text.json`, but a tokenizer that transformers knows."""
    with model_folder(trained.output) as folder:
        shutil.copytree(folder, tmp_path / "hub")
    (tmp_path / "hub" / "text.json").unlink()
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz▁"]
    Siglip2Tokenizer({word: number for number, word in enumerate(words)}, []).save_pretrained(
        tmp_path / "hub"
    )
    encoder = load_encoder(str(tmp_path / "hub"))
    upper, lower, other = encoder.texts(["A Red Square", "a red square", "a blue square"])
    assert upper.equal(lower)
    assert not other.equal(lower)


def test_no_encoder_at_a_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no SigLIP2 at"):
        load_encoder(str(tmp_path))
