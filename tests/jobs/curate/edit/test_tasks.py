"""Tasks by words, against labels by hand for instructions as people write them, and against drawn scenes."""

from __future__ import annotations

import pytest

from jobs.curate.edit.tasks import task_by_words
from jobs.recipe.curation.edit import TASKS, EditTask
from jobs.scenes.edits import sample_edit

BY_HAND: list[tuple[EditTask, str]] = [
    ("add", "Add a hat to the man on the left."),
    ("add", "Put a bird on the branch"),
    ("add", "Can you add some snow on the mountains?"),
    ("add", "Insert a wooden bench next to the tree."),
    ("add", "Give him a beard"),
    ("add", "let there be a rainbow in the sky"),
    ("add", "Place a cup of coffee on the table in the background."),
    ("add", "add a bright red balloon"),
    ("add", "Have the woman wear sunglasses"),
    ("add", "Add a mirror on the wall"),
    ("add", "Add a man with a pan"),
    ("add", "Put a crop in the field"),
    ("add", "Add a cat from the side"),
    ("remove", "Remove the man in the background."),
    ("remove", "Can someone please remove the people behind us?"),
    ("remove", "Delete the car from the street."),
    ("remove", "get rid of the power lines"),
    ("remove", "Please take out the trash can"),
    ("remove", "Erase the tattoo on her arm."),
    ("remove", "Could someone photoshop my ex out of this picture?"),
    ("remove", "clear the table"),
    ("replace", "Replace the dog with a cat."),
    ("replace", "Swap the bicycle for a motorcycle"),
    ("replace", "Turn the apple into an orange"),
    ("replace", "Change the table for a dog"),
    ("replace", "Change the pizza to a burger."),
    ("replace", "make the cake a pie"),
    ("replace", "What if the bowl contained pasta instead of salad?"),
    ("recolour", "Change the color of the car to blue."),
    ("recolour", "Make the shirt red."),
    ("recolour", "Turn her hair blonde"),
    ("recolour", "Paint the wall light green"),
    ("recolour", "Change the jacket from black to brown."),
    ("recolour", "Make the floor wooden"),
    ("recolour", "Can you make my dress white?"),
    ("recolour", "Dye the dog's fur purple"),
    ("move", "Move the lamp to the left side of the table."),
    ("move", "Shift the boat closer to the shore"),
    ("move", "Make the dog sit down"),
    ("move", "Raise his right arm."),
    ("move", "Have her smile at the camera"),
    ("resize", "Make the moon bigger."),
    ("resize", "Enlarge the flowers in the vase"),
    ("resize", "shrink the logo"),
    ("resize", "Make the dog much smaller"),
    ("background", "Change the background to a beach at sunset."),
    ("background", "Replace the background with a snowy forest."),
    ("background", "blur the background"),
    ("background", "Can you put a plain white background behind us?"),
    ("background", "Set the photo in a desert."),
    ("lighting", "Make it look like night."),
    ("lighting", "Change the season to winter."),
    ("lighting", "Could someone fix the lighting in this photo?"),
    ("lighting", "Make the scene brighter"),
    ("lighting", "turn day into night"),
    ("lighting", "Add warm golden hour lighting to the scene."),
    ("lighting", "It is now raining heavily."),
    ("lighting", "Please dim the lamps"),
    ("lighting", "Make the room dim."),
    ("zoom", "Zoom in on the face."),
    ("zoom", "Make it a close-up of the flower."),
    ("zoom", "Zoom out to show the whole building"),
    ("viewpoint", "Rotate the image 90 degrees."),
    ("viewpoint", "Flip the photo horizontally"),
    ("viewpoint", "Can you please mirror this picture?"),
    ("viewpoint", "Show the car from the side."),
    ("viewpoint", "Crop the picture to the couple."),
    ("viewpoint", "Change the camera angle to a bird's-eye view."),
    ("text", "Write 'Happy Birthday' on the cake."),
    ("text", "Change the text on the sign to 'Open'."),
    ("text", "Remove the watermark from this photo"),
    ("text", 'Make the sign say "No Parking"'),
    ("text", "Add the caption Summer 2020 at the bottom"),
    ("style", "Turn this into a watercolor painting."),
    ("style", "Make it look like a pencil sketch"),
    ("style", "Convert the image to Studio Ghibli style."),
    ("style", "make the photo black and white"),
    ("style", "Transform it into pixel art."),
    ("style", "Can someone colorize this old photo?"),
]


def test_most_instructions_of_people_are_understood() -> None:
    wrong = [(task, task_by_words(text), text) for task, text in BY_HAND if task_by_words(text) != task]
    print(f"{len(BY_HAND) - len(wrong)} of {len(BY_HAND)} instructions; not: {wrong}")
    assert {task for task, _ in BY_HAND} == set(TASKS)
    assert len(wrong) <= 0.05 * len(BY_HAND)


def test_instructions_of_drawn_scenes_are_understood() -> None:
    edits = [sample_edit(7, index) for index in range(400)]
    wrong = [edit.instruction for edit in edits if task_by_words(edit.instruction) != edit.task]
    print(f"{len(edits) - len(wrong)} of {len(edits)} instructions; not: {wrong}")
    assert len(wrong) <= 0.02 * len(edits)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Add a mirror on the wall", "add"),
        ("Add a man with a pan", "add"),
        ("Put a crop in the field", "add"),
        ("Add a cat from the side", "add"),
        ("Please place a lamp left and right of the bed", "add"),
        ("Can you add an upside down cup?", "add"),
        ("Remove the mirror", "remove"),
        ("Replace the pan with a pot", "replace"),
        ("Delete the colour fade at the top", "remove"),
        ("Erase the tint of the glass", "remove"),
        ("Mirror the picture", "viewpoint"),
        ("please flip it", "viewpoint"),
        ("Can you tilt the camera?", "viewpoint"),
        ("“Pan” to the left", "viewpoint"),
        ("Could someone please fade the sky", "lighting"),
        ("Would you dye her hair?", "recolour"),
        ("Show the house from above", "viewpoint"),
        ("Turn the picture upside down", "viewpoint"),
    ],
)
def test_what_is_a_noun_too_counts_as_the_leading_verb_only(text: str, task: str) -> None:
    assert task_by_words(text) == task


@pytest.mark.parametrize(
    "text", ["", "Cheers!", "Beautiful day at the lake", "ein Hut", "请加一顶帽子", "!" * 2000]
)
def test_what_asks_for_nothing_has_no_task(text: str) -> None:
    assert task_by_words(text) is None


def test_words_are_whole_words_in_any_case() -> None:
    assert task_by_words("ADD A HAT") == "add"
    assert task_by_words("an additive") is None
