"""Verdicts for readers: people at a terminal, people in a browser, programs."""
