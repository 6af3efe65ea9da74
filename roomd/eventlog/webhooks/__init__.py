"""Webhooks: the event log is pushed to configured endpoints, one event at a time and in order.

`addresses` says where may be connected to, `signing` signs, `sending` makes one attempt, `pusher` follows the log for
one endpoint, and `service` has all of them. The HTTP library is imported when the first endpoint is there.
"""
