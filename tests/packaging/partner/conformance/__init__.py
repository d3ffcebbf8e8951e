"""The partner's own package for its legal checks."""

ALLOWED_COUNTRIES = ("DE", "US")
