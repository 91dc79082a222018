"""Whose events are discarded: lists of users, as the data plane knows them.

A list belongs to a workspace, or to one of its sources. It is published in up to 256 parts, so that a change of it
publishes little however long it is, and holds hashes alone: nobody needs the ids to recognise a user.
Source: product guide, "User deletion and suppression": a suppressed user's calls are answered 200 and appear nowhere.
Judgement: the `previousId` of an alias call names a user as `userId` does.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Final

SUPPRESSED: Final = "suppressed"
"""The reason of what is discarded; nothing is counted under it."""

_HASH_BYTES: Final = 8


def user_hash(list_id: str, user_id: str) -> bytes:
    """What a user is recognised by in the list of a workspace or source: 8 bytes, of which the first says which part
    of the list they are in."""
    return hashlib.blake2b(f"{list_id}\0{user_id}".encode(errors="surrogatepass"), digest_size=_HASH_BYTES).digest()


def part_id(list_id: str, part: int) -> str:
    """What a part of a list is published under, after its prefix."""
    return f"{list_id}:{part:02x}"


def as_part(hashes: Iterable[bytes]) -> bytes:
    """The hashes of a part, in the order in which they are looked up."""
    return b"".join(sorted(hashes))


def is_suppressed(
    parts: Mapping[str, bytes], workspace_id: str, source_id: str, type: str, payload: Mapping[str, Any]
) -> bool:
    """Is this an event of a user who is on the list of the workspace, or of the source? `parts` are all lists there
    are; `type` is the event's. An event that names no user never is."""
    return bool(parts) and any(
        isinstance(user_id, str) and (_holds(parts, workspace_id, user_id) or _holds(parts, source_id, user_id))
        for user_id in (payload.get("userId"), payload.get("previousId") if type == "alias" else None)
    )


def _holds(parts: Mapping[str, bytes], list_id: str, user_id: str) -> bool:
    wanted = user_hash(list_id, user_id)
    hashes = parts.get(part_id(list_id, wanted[0]), b"")
    places = range(len(hashes) // _HASH_BYTES)
    place = bisect_left(places, wanted, key=lambda each: _at(hashes, each))
    return place < len(places) and _at(hashes, place) == wanted


def _at(hashes: bytes, place: int) -> bytes:
    return hashes[place * _HASH_BYTES : (place + 1) * _HASH_BYTES]
