"""Curation of picture understanding: text read in pictures, questions about them, dialogues of a source."""

from typing import Final

FAMILY: Final = "understanding"
