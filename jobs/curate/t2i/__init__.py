"""Curation of text-to-image data: filtered, topics, balanced, captioned. Each stage keeps every row."""
