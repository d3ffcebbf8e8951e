"""Judging postbacks: rules over captured traffic, generated events, reports, and the command line that joins it all.

Import what you need from its modules: `strategies`, `rules`, `judge`, `driving`.
"""
