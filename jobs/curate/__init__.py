"""From records to documents, family by family, and what the families share."""
