"""From what users have (tables, folders, audio) to one manifest: one module a format, checked as a whole."""
