"""Makes `builtin-text-tokenizer.json`: a byte-level BPE trained on plain English captions.

Run `python -m model.make_text_tokenizer`; the file it writes is always the same. The captions are made
from the lists below: pictures of coloured shapes, and of everyday things.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from model.text import BUILTIN_FILE, END_TOKEN

VOCABULARY = 1024

COLOURS = "red orange yellow green blue purple pink brown black white grey gray cyan magenta golden silver"
SHAPES = (
    "circle square triangle star rectangle ellipse oval diamond hexagon pentagon cross ring heart "
    "crescent arrow disc dot line cube sphere cone cylinder"
)
SIZES = "small large big tiny huge little medium tall short wide narrow"
NUMBERS = "one two three four five six seven eight nine ten"
BACKGROUNDS = "plain striped dotted checkered light dark bright gradient noisy blurred"
PLACES = (
    "left of|right of|to the left of|to the right of|above|below|next to|on top of|under|behind|"
    "in front of|inside|between|near"
)
CORNERS = (
    "on the left|on the right|in the centre|in the center|in the middle|at the top|at the bottom|"
    "in the top left corner|in the top right corner|in the bottom left corner|in the bottom right corner"
)
MEDIA = (
    "a photo of|a photograph of|a picture of|an image of|a drawing of|a painting of|a sketch of|"
    "an illustration of|a cartoon of|a clip art of|an icon of|a symbol of|a close-up of"
)
THINGS = (
    "cat dog horse cow sheep pig goat rabbit mouse bird duck chicken goose eagle owl crow robin parrot "
    "penguin fish shark whale dolphin crab lobster frog toad snake lizard turtle crocodile dinosaur "
    "elephant lion tiger bear wolf fox deer monkey giraffe zebra kangaroo koala squirrel hedgehog bat "
    "butterfly bee ant spider beetle snail fly apple banana orange lemon cherry grape pear peach "
    "strawberry tomato potato carrot onion pepper mushroom bread cake cookie cheese egg pizza sandwich "
    "soup salad rice tea coffee cup glass bottle bowl plate spoon fork knife chair table bed lamp clock "
    "mirror door window key book pen pencil paper box bag hat shoe shirt dress coat umbrella phone "
    "computer camera radio television car bus truck train bicycle motorcycle boat ship plane rocket "
    "helicopter tractor wheel engine ball bat racket goal ski skate sled tent guitar piano drum violin "
    "trumpet flag sign map house church castle bridge tower tree flower grass leaf mountain river lake "
    "sea beach sun moon cloud rain snow fire man woman child boy girl baby face hand eye person people"
)
ACTIONS = (
    "standing sitting lying running walking flying swimming jumping sleeping eating playing holding "
    "looking riding wearing growing hanging floating smiling"
)
SCENES = (
    "in the snow|on a table|in a field|by the sea|in the forest|on the street|in the sky|in the water|"
    "at night|in the morning|on a white background|with its mouth open|with long ears|with a red hat"
)


def captions(count: int = 3000, seed: int = 0) -> Iterator[str]:
    """Captions of made-up pictures, the same for the same seed."""
    random_state = random.Random(seed)

    def one(words: str) -> str:
        return random_state.choice(words.split("|") if "|" in words else words.split())

    for _ in range(count):
        shape = f"{one(COLOURS)} {one(SHAPES)}"
        other = f"{one(SIZES)} {one(COLOURS)} {one(SHAPES)}"
        background = f"on a {one(BACKGROUNDS)} {one(COLOURS)} background"
        yield random_state.choice(
            [
                f"a {shape} {one(PLACES)} a {other}",
                f"A {other} {background}.",
                f"{one(MEDIA)} a {other} {one(CORNERS)}, {background}",
                f"{one(NUMBERS)} {shape}s and {one(NUMBERS)} {other}s {background}",
                f"There are {one(NUMBERS)} {other}s {one(CORNERS)} of the picture.",
                f"{one(MEDIA)} a {one(COLOURS)} {one(THINGS)} {one(ACTIONS)} {one(SCENES)}",
                f"{one(MEDIA)} the {one(THINGS)} and a {one(SIZES)} {one(THINGS)}".capitalize() + ".",
                f"The {one(THINGS)} is {one(ACTIONS)} {one(PLACES)} the {one(THINGS)}.",
                f"{one(NUMBERS)} {one(THINGS)}s {one(SCENES)}, with {random_state.randrange(100)} more",
            ]
        )


def train() -> Tokenizer:
    """Train the tokenizer: the end token, 256 bytes, then merges."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_TOKEN],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions(), trainer)
    return tokenizer


def main(path: Path = BUILTIN_FILE) -> None:
    """Write the tokenizer's file."""
    train().save(str(path))


if __name__ == "__main__":
    main()
