"""Runs what users wrote in JavaScript, so that it can harm nobody but itself.

Each version of each function has a Deno process of its own, made on demand: no files, no environment, no
programs, networks by policy; memory and time are limited from outside. Nothing that the code prints or answers
is trusted.

Source: Functions documentation, "Runtime and dependencies"; the sandbox itself is a judgement.
"""

from mainstem.sandbox.code import HANDLERS, Code, Ended, Fault, Invocation, Limits
from mainstem.sandbox.parse import check, handlers
from mainstem.sandbox.pool import Sandbox

__all__ = ["HANDLERS", "Code", "Ended", "Fault", "Invocation", "Limits", "Sandbox", "check", "handlers"]
