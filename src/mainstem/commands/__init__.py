"""What `mainstem` does beside serving: a module for each command, and what several of them share."""
