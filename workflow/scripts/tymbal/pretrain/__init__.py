"""Self-supervised pre-training: the corpus, masks, the pretext task."""
