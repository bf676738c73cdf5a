"""Fitting a model: data in batches, augmentation, optimiser, the loop, resuming."""
