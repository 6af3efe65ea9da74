"""Rooms on several nodes: which node has which room, and what the nodes send each other.

A client's node is its edge; the node that has its room is the owner. Nothing here is imported without `[cluster]`.
docs/decisions/0034-rooms-on-several-nodes.md has the rules that the modules name by their numbers.
"""
