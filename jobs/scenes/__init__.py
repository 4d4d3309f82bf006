"""The embedded world: pictures of coloured shapes, their captions, and the truth read off the pixels."""
