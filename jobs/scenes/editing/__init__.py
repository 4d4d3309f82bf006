"""How scenes are edited: words for shapes, changed scenes, other ways to draw them, and each task's edits."""
