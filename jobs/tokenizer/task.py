"""What one training of the tokenizer is told, and what follows from that before anything is trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from infra.errors import UserError
from jobs.specs import TokenizerSettings
from model.scales import ScaleSchedule
from model.tokenizer import TokenizerConfig

CAPTIONED = "t2i/captioned"
FACES = "tokenizer/faces"
PIXEL = "tokenizer/pixel"
JOINT = "tokenizer/joint"
SEMANTIC = "tokenizer/semantic"


@dataclass(frozen=True)
class TokenizerTask:
    """Where everything is, and how to train. `inputs` are folders by asset, as in the job's spec."""

    output: str
    seed: int
    inputs: dict[str, list[str]]
    settings: TokenizerSettings

    @property
    def schedules(self) -> tuple[ScaleSchedule, ...]:
        """The schedules of the level that the tokenizer trains on."""
        return self.settings.level.schedules()

    @property
    def semantic(self) -> str | None:
        """The published model of the semantic encoder: an output's folder, a local folder or a hub name."""
        return self.settings.pretrained or next(iter(self.inputs.get(SEMANTIC, [])), None)

    def config(self) -> TokenizerConfig:
        """The recipe's preset, seeded; without its semantic branch where the pixel branch trains alone.

        Raises:
            UserError: there is no such preset, or its stride is not the level's cell.
        """
        tokenizer, level = self.settings.tokenizer, self.settings.level
        try:
            config = TokenizerConfig.preset(tokenizer.preset)
        except ValueError as error:
            raise UserError(str(error), "recipe, tokenizer.preset", "Correct the name") from error
        if config.stride != level.cell:
            raise UserError(
                f"tokenizer {tokenizer.preset!r} has a stride of {config.stride} pixels, "
                f"level {tokenizer.level!r} has cells of {level.cell}",
                "recipe",
                f"Set the level's cell to {config.stride}",
            )
        config = dataclasses.replace(config, seed=self.seed)
        return config.pixel_branch() if self.settings.stage_name == "pixel" else config
