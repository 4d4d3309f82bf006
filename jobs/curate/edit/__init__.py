"""Curation of edits: scored, size_matched, judged, subsets, audited, mixed. Each stage keeps every row."""
