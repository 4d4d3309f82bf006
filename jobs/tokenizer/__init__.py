"""Training the image tokenizer on curated pictures."""
