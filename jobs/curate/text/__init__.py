"""Curation of text: scored, filtered, mixed."""
