"""The endpoint suite: cases that a partner's server has to stand, driven through the real sender.

A family is a module with `CASES`; `catalogue` holds them all.
"""
