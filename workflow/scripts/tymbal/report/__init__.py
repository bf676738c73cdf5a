"""Figures and pages, made from the summary tables alone."""
