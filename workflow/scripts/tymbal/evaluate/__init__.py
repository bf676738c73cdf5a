"""How good a model is: binary targets, metrics, predictions of test clips, and tables over all runs."""
