"""Files that users bring: logits, tokens and weights, images."""
