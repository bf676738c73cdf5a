"""What can be known before anything is run: every problem of data and models at once, and what training will need."""
