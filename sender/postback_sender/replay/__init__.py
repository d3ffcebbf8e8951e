"""Recorded requests, sent again: when (`schedule`), what (`request`), and the shell that does it (`replayer`)."""
