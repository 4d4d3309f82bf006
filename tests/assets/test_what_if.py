"""Answers to questions about a recipe: stored under what decides them."""

from __future__ import annotations

from pathlib import Path

import pytest
import traced_home
from transformers import Qwen2Config

from assets.project import Project
from assets.what_if import compare_packers
from infra.reporter import SilentReporter
from jobs.recipe import Model


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_session")
def test_a_model_whose_files_change_is_another_question(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = traced_home.copied(traced_home.build(tmp_path_factory), tmp_path)
    model = tmp_path / "qwen"

    def publish(layers: int) -> None:
        heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
        Qwen2Config(hidden_size=64, num_hidden_layers=layers, **heads).save_pretrained(model)

    def ask() -> tuple[str, float]:
        with traced_home.opened(home) as (project, instance):
            changed = {"model": Model(pretrained=str(model), text_tokenizer="builtin")}
            asked = Project(project.recipe.model_copy(update=changed), project.home)
            folder, answer = compare_packers(asked, instance, "first", 2, {}, SilentReporter())
        return folder, answer.metadata["packers"]["balanced"]["tokens_per_flop"]

    publish(layers=2)
    folder, speed = ask()
    assert ask() == (folder, speed)
    publish(layers=64)
    other, lower = ask()
    assert other != folder
    assert lower < speed
