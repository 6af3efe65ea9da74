"""Readers: do the records that backends keep from the event log agree with the table of participants?

People join, drop, come back, take over, move, are removed, and see their rooms end, while the daemon and the readers of
its log are killed at random. Each reader is a process that keeps its record in a file: by long poll, by Server-Sent
Events, by `watch`, and endpoints of webhooks that work, answer 500, hang, answer late, or are down. `make readers` does
2,000 such actions, tests/journeys/test_log_readers.py does some. A failure prints the seed;
`make readers ARGS="--seed NUMBER"` repeats its decisions.
"""
