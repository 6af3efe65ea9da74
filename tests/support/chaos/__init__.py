"""Chaos: a daemon with ordinary clients under faults of the machine and of its peers, one after another.

`make chaos` runs it for some minutes, tests/journeys/test_chaos.py for some seconds. After each fault everybody is
served again, `roomd check` finds nothing wrong, and all that was acknowledged is in the database.
"""
