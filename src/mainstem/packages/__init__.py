"""What mainstem takes from npm: sets of packages, each pinned by a lock, installed when somebody asks for it.

A set is a folder of `sets/` with a package.json and a deno.lock: exact versions and checksums, and no registry, so
that whoever installs uses the one they are set up with.
"""
