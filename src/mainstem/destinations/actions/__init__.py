"""Segment's open-source destinations: what the installed package offers, and the processes that run it."""
