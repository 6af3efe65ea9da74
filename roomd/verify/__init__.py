"""The checker of `roomd verify`: it drives a server with clients, keeps what they saw, and looks for broken promises.

`records` has what was recorded, `audit` takes it and returns a `Report`; neither does I/O. `driver` makes the records.
"""
