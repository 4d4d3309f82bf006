"""The prompts, one file each, `<name>.md`, with `{placeholders}` for what a question brings along.

A recipe may replace any of them by a text of its own (`vlm.prompts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from infra.errors import UserError

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def prompt_names() -> list[str]:
    """Names of the prompts that there are."""
    found = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".md") for name in found if name.endswith(".md"))


def fill_prompt(name: str, values: Mapping[str, str], own: Mapping[str, str]) -> str:
    """The text that is sent: a prompt with its placeholders filled.

    A value is text and nothing else: braces in it stay as they are.

    Args:
        name: of the prompt.
        values: by placeholder.
        own: the recipe's prompts, which go before the files.

    Raises:
        UserError: there is no such prompt, or a placeholder has no value.
    """
    where = f"vlm.prompts.{name}" if name in own else f"prompt {name}.md"
    text = own[name] if name in own else _read(name)
    missing = sorted(set(_PLACEHOLDER.findall(text)) - set(values))
    if missing:
        given = ", ".join(sorted(values)) or "none"
        raise UserError(f"no value for {{{missing[0]}}}", where, f"Values of this question: {given}")
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text).strip()


def check_prompts(own: Mapping[str, str]) -> None:
    """Make sure that each of the recipe's prompts replaces one that is asked.

    Raises:
        UserError: names one that no stage knows.
    """
    for name in own:
        if name not in prompt_names():
            known = ", ".join(prompt_names())
            raise UserError("no stage asks with this prompt", f"vlm.prompts.{name}", f"Prompts are {known}")


def _read(name: str) -> str:
    if name not in prompt_names():
        raise UserError(f"no prompt {name!r}", "", f"Prompts are {', '.join(prompt_names())}")
    return (files(__name__) / f"{name}.md").read_text(encoding="utf-8")
