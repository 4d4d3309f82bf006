"""The task of an edit from the words of its instruction, in English, where its source does not say it.

Rules are tried in order, and the first that fits wins; where none does, the task is unknown:

1.  What is to be written, or done to letters and words, is `text`.
2.  A manner of drawing or processing named as the goal ("as a watercolour", "black and white") is `style`.
3.  A background that is changed itself ("change the background to ..") is `background`.
4.  Words of the camera are `zoom` or `viewpoint`, unless something is put there ("add a cat from the
    side"); light, weather and time as the goal are `lighting`.
5.  A size at the end of a change is `resize`, a colour or material there `recolour`; another place, pose
    or expression is `move`; "replace", "turn .. into", "change .. to" are `replace`.
6.  Else the verb: `remove`, then `add`.

Verbs that are nouns as well (a mirror, a pan) count only where the instruction begins with them.
"""

from __future__ import annotations

import re

from jobs.recipe.curation.edit import EditTask

Rule = tuple[EditTask, re.Pattern[str]]

_COLOURS = (
    "red|orange|yellow|green|cyan|blue|purple|pink|violet|magenta|turquoise|teal|brown|beige|black|white|"
    "gr[ae]y|gold(?:en)?|silver|navy|maroon|blonde?"
)
_SHADES = (
    rf"(?:(?:light|dark|bright|deep|pale|vivid|solid)\s+)?"
    rf"(?:{_COLOURS}|wood(?:en)?|metal(?:lic)?|marble|leather|glass|stone|plastic|brick)"
)
_SIZES = "small(?:er)?|large(?:r)?|big(?:ger)?|tiny|huge|medium(?:-sized)?|tall(?:er)?|wide(?:r)?|giant"
_MANNERS = (
    "water ?colou?r|oil painting|painting|sketch|cartoon|anime|ghibli|manga|comic|pixel[- ]art|mosaic|"
    "line[- ]drawing|line[- ]art|drawing|charcoal|engraving|3d render|render(?:ing)?|clay(?:mation)?|lego|"
    "vintage|retro|sepia|black[- ]and[- ]white|gr[ae]y ?scale|monochrome|negative|outlines?|impressionist|"
    "cubist|pop art|ukiyo-e|cyberpunk|steampunk|low[- ]poly|origami|felt|papercut"
)
_TIMES = (
    "night(?:time)?|day(?:time|light)|sunset|sunrise|dusk|dawn|golden hour|moonlight|winter|summer|autumn|"
    "spring|rainy|snowy|foggy|sunny|cloudy|stormy"
)
_GROUND = "(?:background|backdrop)"
_CHANGE = "change|make|turn|paint|colou?r|recolou?r|alter|convert|set|transform"
_BETWEEN = r"(?:(?!in\b|from\b|on\b|of\b|to\b)[\w']+\s+)*"
_POLITELY = r"^\W*(?:(?:please|can|could|will|would|you|someone|anyone|somebody|anybody|just|now)\W+)*"
_END = r"(?:\s+(?:colou?r|instead|please|now|in colou?r|tone|material))*\W*$"


def task_by_words(instruction: str) -> EditTask | None:
    """The task that an instruction's words say, or None."""
    return next((task for task, pattern in _RULES if pattern.search(instruction)), None)


def _rule(task: EditTask, *choices: str) -> Rule:
    """Any of these, as whole words in any case."""
    return task, re.compile(rf"\b(?:{'|'.join(choices)})(?!\w)", re.IGNORECASE)


def _leading_rule(task: EditTask, *verbs: str) -> Rule:
    """The instruction begins with one of these, politely or not."""
    return task, re.compile(rf"{_POLITELY}(?:{'|'.join(verbs)})(?!\w)", re.IGNORECASE)


def _angle_rule(task: EditTask, *choices: str) -> Rule:
    """Any of these, where the instruction does not begin by putting something there: of that they speak."""
    placed = rf"{_POLITELY}(?:add|put|place|insert)\b"
    return task, re.compile(rf"(?!{placed})^.*\b(?:{'|'.join(choices)})(?!\w)", re.IGNORECASE)


_RULES: tuple[Rule, ...] = (
    _rule("text", "write", "rewrite", "spell", "misspell", "texts?", "words?", "letters", "lettering"),
    _rule("text", "captions?", "subtitles?", "inscription", "slogan", "watermark", "typo", "font"),
    _rule("text", r"(?:to|that) (?:say|read)s?", r"says? [\"'“].*"),
    _rule("style", "styles?", "styli[sz]ed?", "restyle", "ghiblify", "cartoonify"),
    _rule("style", rf"(?:as|into|like|to|in|make|turn|render)\b.*\b(?:{_MANNERS})"),
    _rule(
        "style",
        "invert",
        "desaturate",
        "colori[sz]e",
        "posteri[sz]e",
        "negative of",
        "all (?:the )?colou?rs?",
    ),
    _rule("style", "only (?:the )?outlines?", "(?:draw|show) (?:the )?outlines"),
    _rule(
        "background",
        rf"(?:replace|change|swap|switch|make|set|turn|blur|alter|fill|recolou?r|paint|remove|put)\s+{_BETWEEN}"
        rf"{_GROUND}(?! of\b)",
        rf"{_GROUND} (?:to|into|with|should|becomes?)",
        rf"(?:place|put|move|set)\b.*\b(?:against|in front of) (?:a|an|the) .*{_GROUND}",
    ),
    _rule("zoom", "zoom", "close[- ]?up", "closer (?:look|view|shot)", "camera (?:closer|nearer)"),
    _rule("zoom", "from (?:further|farther|nearer)"),
    _leading_rule("viewpoint", "rotate", "flip", "mirror", "crop", "tilt", "pan"),
    _angle_rule("viewpoint", "mirrored", "upside down", "left and right"),
    _angle_rule("viewpoint", r"(?:turn|spin)\b.*\b(?:degrees|clockwise|counterclockwise)"),
    _angle_rule("viewpoint", "viewpoint", "camera (?:angle|position)", "move the camera", "perspective"),
    _angle_rule("viewpoint", "bird'?s[- ]eye", "aerial", "top[- ]down", "(?:side|front|rear|back) view"),
    _angle_rule("viewpoint", "from (?:above|below|behind|the (?:side|front|back|top|left|right))"),
    _angle_rule("viewpoint", "(?:different|another|low|high) angle"),
    _rule("lighting", "lighting", "brightness", "exposure", r"illuminat\w*", "relight", "brighten", "darken"),
    _leading_rule("lighting", "dim", "fade"),
    _rule("lighting", "lighten", "brighter", "darker", "(?:over|under)exposed", rf"make\b.*\bdim{_END}"),
    _rule("lighting", "(?:twice|half) as bright"),
    _rule("lighting", rf"(?:make|turn|change|set|into|to|at|look like|during)\b.*\b(?:{_TIMES}){_END}"),
    _rule("resize", rf"(?:make|change|turn|set)\b.*\b(?:{_SIZES}){_END}"),
    _rule(
        "resize", "enlarge", "shrink", "resize", "scale (?:up|down)", "size of", "(?:double|half) the size"
    ),
    _rule("recolour", rf"(?:{_CHANGE})\b(?!.*\binto an? (?:{_COLOURS})\b).*\b{_SHADES}{_END}"),
    _leading_rule("recolour", "dye", "tint"),
    _rule("recolour", "recolou?r", "repaint"),
    _rule("recolour", "(?:change|alter|swap) (?:the |its |his |her )?colou?rs?"),
    _rule("recolour", rf"give\b.*\b{_SHADES} colou?r"),
    _rule("move", "move", "shift", "relocate", "slide", "drag", "reposition", "(?:change|trade|swap) places"),
    _rule("move", r"(?:swap|exchange)\b(?!.*\b(?:with|for|by|to)\b).*\band"),
    _rule("move", "(?:raise|lower|fold|open|close) (?:his|her|its|their)"),
    _rule(
        "move", r"(?:put|place) the\b.*\b(?:left|right|above|below|under|over|on top|behind|next to|beside)"
    ),
    _rule(
        "move",
        r"(?:make|have) (?:him|her|it|them|the \w+) (?:\w+ )?(?:sit|stand|jump|run|smile|look|wave|walk)",
    ),
    _rule("replace", "replace", "swap", "substitute", "exchange", "transform", "convert", "instead of"),
    _rule(
        "replace",
        r"(?:turn|change|make)\b.*\b(?:into|to|be|for)",
        r"make (?:the|this|that)\b.* an? [\w-]+\W*$",
    ),
    _rule("remove", "remove", "delete", "erase", "eliminate", "clear", "get rid", "without", "no more"),
    _rule("remove", r"(?:take|cut|crop|edit|photoshop)\b.*\b(?:away|out|off)"),
    _rule("add", "add", "insert", "put", "place", "include", "give", "draw", "attach", "introduce", "plant"),
    _rule("add", "hang", "wear(?:ing)?", "let there be"),
)
