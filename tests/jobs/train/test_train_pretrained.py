"""A recipe whose first stage starts from a published language model instead of a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from support import publish_transformer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from infra.errors import UserError
from infra.job import JobSpec
from jobs.models import load_text, transformer_config
from jobs.recipe import Model
from jobs.specs import TrainSettings
from jobs.train.task import start_model, task_of
from jobs.train.worker import train
from jobs.train.world import alone
from model.text import BUILTIN_FILE, END_TOKEN, load_text_tokenizer
from model.tokenizer import TokenizerConfig

TEXT = load_text_tokenizer()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small Qwen2.5 with its text tokenizer, as transformers saves them; some rows are padding."""
    folder = tmp_path_factory.mktemp("qwen")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=TEXT.size + 8,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 5_000.0},
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_file=str(BUILTIN_FILE), eos_token=END_TOKEN).save_pretrained(folder)
    return str(folder)


def spec_of(make_spec: Any, name: str, model: Model, **stage: Any) -> JobSpec[TrainSettings]:
    spec: JobSpec[TrainSettings] = make_spec(name, **stage)
    return spec.model_copy(update={"settings": spec.settings.model_copy(update={"model": model})})


def test_the_first_stage_starts_from_it(make_spec: Any, published: str) -> None:
    model = start_model(task_of(spec_of(make_spec, "run", Model(pretrained=published))))
    weights = load_file(f"{published}/model.safetensors")
    parameters = dict(model.named_parameters())
    assert all(torch.equal(parameters[name], weight) for name, weight in weights.items())
    assert model.config.rope_theta == 5_000.0
    assert model.config.end_id == TEXT.end_id
    assert parameters.keys() - weights.keys() == model.new_parameters().keys()


def test_aligning_leaves_its_text_as_it_was(make_spec: Any, published: str) -> None:
    spec = spec_of(make_spec, "run", Model(pretrained=published), trainable="new", steps=2)
    task = task_of(spec)
    before = start_model(task).state_dict()
    with alone(lambda done, steps, figures: None) as world:
        assert train(world, task) is None
    after = load_file(Path(spec.output) / "model" / "model.safetensors")
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith("visual") for name in changed)


def test_a_later_stage_starts_from_the_stage_before(make_spec: Any, published: str, tmp_path: Path) -> None:
    """Nothing is read from the published model then, which may be gone."""
    before = publish_transformer(tmp_path / "before")
    spec = spec_of(make_spec, "run", Model(pretrained=str(tmp_path / "gone")))
    spec = spec.model_copy(update={"inputs": spec.inputs | {"training/before": [before]}})
    assert start_model(task_of(spec)).config.layers == 4


def test_new_weights_follow_the_seed(make_spec: Any, published: str) -> None:
    spec = spec_of(make_spec, "run", Model(pretrained=published))
    torch.manual_seed(1)
    first = start_model(task_of(spec)).visual.scale.weight
    torch.manual_seed(2)
    assert torch.equal(first, start_model(task_of(spec)).visual.scale.weight)
    other = start_model(task_of(spec.model_copy(update={"seed": 4}))).visual.scale.weight
    assert not torch.equal(first, other)


def test_the_text_tokenizer_is_found_beside_it(published: str) -> None:
    text = load_text(Model(pretrained=published).text_tokenizer)
    assert text.encode("a red star") == TEXT.encode("a red star")
    assert text.end_id == TEXT.end_id
    assert Model(pretrained=published, text_tokenizer="builtin").text_tokenizer == "builtin"
    assert Model(preset="tiny").text_tokenizer == "builtin"


def test_a_model_survives_being_written_down(published: str) -> None:
    for model in (Model(preset="tiny"), Model(pretrained=published)):
        assert Model.model_validate(model.model_dump(mode="json")) == model


def test_a_preset_or_a_pretrained_model_and_not_both(published: str) -> None:
    with pytest.raises(ValidationError, match="a model needs a preset, or a pretrained language model"):
        Model()
    with pytest.raises(ValidationError, match="exclude each other: set one of them to null"):
        Model(preset="tiny", pretrained=published)


def test_what_cannot_be_read_names_the_setting(make_spec: Any, published: str, tmp_path: Path) -> None:
    gone = Model(pretrained=str(tmp_path / "gone"), text_tokenizer="builtin")
    with pytest.raises(UserError, match=r"^model\.pretrained: no Qwen2\.5 at .*: no such folder"):
        transformer_config(gone, TEXT, TokenizerConfig.preset("tiny"))
    Qwen2Config().save_pretrained(tmp_path / "empty")
    (tmp_path / "empty" / "pytorch_model.bin").touch()
    empty = Model(pretrained=str(tmp_path / "empty"), text_tokenizer="builtin")
    with pytest.raises(UserError, match=r"^model\.pretrained: .*: no weights as safetensors"):
        start_model(task_of(spec_of(make_spec, "run", empty)))
