import subprocess
import sys

import pytest

from jobs.curate.t2i.topics import TopicClassifier
from jobs.recipe import Topics

TOPICS = Topics(taxonomy={"animal": ["cat", "polar bear"], "food": ["Café", "hot dog"], "dog": ["dog"]})


@pytest.mark.parametrize(
    ("caption", "topic"),
    [
        ("A cat.", "animal"),
        ("CAT on a mat", "animal"),
        ("concatenate", "other"),
        ("cats", "other"),
        ("a polar\n bear", "animal"),
        ("at the CAFÉ", "food"),
        ("a hot dog", "food"),
        ("a dog", "dog"),
        ("a dog and a cat", "animal"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_topic_of_a_caption(caption: str | None, topic: str) -> None:
    assert TopicClassifier(TOPICS)(caption) == topic


def test_without_a_taxonomy_all_is_other() -> None:
    assert TopicClassifier(Topics(other="rest"))("a cat") == "rest"


def test_words_are_no_patterns() -> None:
    assert TopicClassifier(Topics(taxonomy={"code": ["c++", "a.b"]}))("in C++ and so on") == "code"
    assert TopicClassifier(Topics(taxonomy={"code": ["a.b"]}))("axb") == "other"


def test_topics_by_caption_need_no_torch() -> None:
    code = "import sys, jobs.curate.t2i.topics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
