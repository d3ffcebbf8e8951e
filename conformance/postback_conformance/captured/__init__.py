"""Captured traffic in people's hands: found, written out, read in, sent again, with its secrets hidden."""
