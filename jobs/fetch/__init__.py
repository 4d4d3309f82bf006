"""Fetching: from lists of URLs to pictures, each URL with what became of it."""
