"""Curation of text-to-image data, from raw pictures to documents. Each stage keeps every row."""
