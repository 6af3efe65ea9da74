"""Blips: clients of each kind on a network that fails at random, beside restarts and crashes of the daemon.

`make blips` runs it for two minutes, tests/journeys/test_blips.py for some seconds. A failure prints the seed;
`make blips ARGS="--seed NUMBER"` repeats its decisions.
"""
