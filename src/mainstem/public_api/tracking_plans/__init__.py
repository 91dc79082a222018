"""Tracking plans: which events the sources of a workspace should send, and what these hold.

Source: Public API reference, tag "Tracking Plans" (12 operations).
"""
