from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.make_text_tokenizer import captions, main
from model.text import BUILTIN_FILE, END_TOKEN, load_text_tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
builtin = load_text_tokenizer("builtin")


@given(TEXT)
def test_every_text_survives(text: str) -> None:
    ids = builtin.encode(text)
    assert builtin.decode(ids) == text
    assert all(0 <= i < builtin.size for i in ids)


def test_the_end_token_is_never_text() -> None:
    ids = builtin.encode(f"a {END_TOKEN} b")
    assert builtin.end_id not in ids
    assert builtin.decode([*ids, builtin.end_id]) == f"a {END_TOKEN} b"


def test_words_of_captions_take_about_one_token_each() -> None:
    texts = list(captions(count=100, seed=1))
    words = sum(len(t.split()) for t in texts)
    assert sum(len(builtin.encode(t)) for t in texts) < 1.3 * words


def test_the_shipped_file_is_what_the_script_makes(tmp_path: Path) -> None:
    main(tmp_path / "made.json")
    assert (tmp_path / "made.json").read_bytes() == BUILTIN_FILE.read_bytes()


def test_a_local_folder_of_transformers(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_file=str(BUILTIN_FILE), eos_token=END_TOKEN).save_pretrained(tmp_path)
    loaded = load_text_tokenizer(str(tmp_path))
    text = f"a photo of two red stars {END_TOKEN} . 'tis"
    assert (loaded.size, loaded.end_id) == (builtin.size, builtin.end_id)
    assert loaded.end_id not in loaded.encode(text)
    assert loaded.decode([*loaded.encode(text), loaded.end_id]) == text


def test_a_tokenizer_without_end_token_is_refused(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_file=str(BUILTIN_FILE)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no end-of-document token"):
        load_text_tokenizer(str(tmp_path))


def test_a_folder_without_tokenizer_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no text tokenizer at"):
        load_text_tokenizer(str(tmp_path))
