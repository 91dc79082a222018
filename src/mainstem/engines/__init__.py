"""Where data lives: one file per product and role, each keeping the promises of a port."""
