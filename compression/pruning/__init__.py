"""Channels, whole units or single weights taken out of a network."""
