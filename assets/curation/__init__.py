"""Group `curation`: from raw data to documents, drop by drop, one module per family."""
