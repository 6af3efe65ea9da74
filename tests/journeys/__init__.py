"""Journeys: a real daemon, and clients on real sockets."""
