"""Figures and the report page, made from the summary tables alone."""
