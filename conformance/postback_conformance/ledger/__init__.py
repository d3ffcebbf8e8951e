"""What a partner's books must say after any postbacks in any order, and whether they do.

`model` is pure: it knows what is certain, and what nobody can know. `machine` lets Hypothesis look for the shortest
life cycles after which an endpoint's books are wrong, `story` tells them.
"""
