"""A trained model put to work on recordings of any length."""
