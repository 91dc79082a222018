"""Selective sync: what is stored in a warehouse and when, and what became of it. One module for each subject.

Source: Public API reference, tag "Selective Sync" (6 operations); product guide, "Selective sync".
"""
