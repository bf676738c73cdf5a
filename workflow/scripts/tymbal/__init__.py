"""Tymbal: field recordings in, evaluated sound classifiers out."""

__version__ = "0.1.0"
