"""Credentials: what warehouses, and sources that are databases, are connected to with, kept once for all of them.

A consumer names a credential in its setting `credentialId`. Other families use what is named here, and nothing else
of the package.
Source: Public API reference, tag "Credentials" (6 operations). The name of that setting is a judgement.
"""

from __future__ import annotations

from mainstem.public_api.credentials.credential import laid_over, may_be_secret, note_use, released, use_faults

__all__ = ["laid_over", "may_be_secret", "note_use", "released", "use_faults"]
