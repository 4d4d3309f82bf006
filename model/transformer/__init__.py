"""One decoder-only transformer: next-token prediction for text, next-scale prediction for images."""
