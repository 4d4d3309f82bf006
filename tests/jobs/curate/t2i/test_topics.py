import subprocess
import sys
import unicodedata

import pytest

from jobs.curate.t2i.topics import TopicClassifier
from jobs.recipe import Balance, T2ICuration, Topics

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
        (unicodedata.normalize("NFD", "at the Café"), "food"),
        ("at the ｃａｆé", "food"),
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


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_word_is_the_same_however_its_accents_are_spelt(form: str) -> None:
    word = unicodedata.normalize(form, "Grüße")
    assert TopicClassifier(Topics(taxonomy={"letters": [word]}))("Liebe Grüße!") == "letters"


def test_words_are_no_patterns() -> None:
    assert TopicClassifier(Topics(taxonomy={"code": ["c++", "a.b"]}))("in C++ and so on") == "code"
    assert TopicClassifier(Topics(taxonomy={"code": ["a.b"]}))("axb") == "other"


def test_topics_by_caption_need_no_torch() -> None:
    code = "import sys, jobs.curate.t2i.topics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_target_of_a_topic_that_is_none_is_one_line() -> None:
    """Misspelt, it would have no pictures, and the others without a weight would keep nothing."""
    with pytest.raises(
        ValueError, match=r"balance.target names 'foood', .*: 'animal', 'dog', 'food', 'other'"
    ):
        T2ICuration(topics=TOPICS, balance=Balance(target={"animal": 1, "foood": 1}))
    T2ICuration(topics=TOPICS, balance=Balance(target={"animal": 1, "other": 1}))
    T2ICuration(topics=TOPICS, balance=Balance(target="even"))
