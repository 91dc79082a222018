"""`mainstem user invite|accept|list`: the people of the workspace, at the terminal.

Who may use it holds the data folder, and so may do everything anyway: an invite can be accepted here by its address.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sqlalchemy import Row, select

from mainstem import app
from mainstem.commands import roles
from mainstem.commands.administration import Open, opened, record
from mainstem.commands.terminal import printable
from mainstem.mail import Letter, NotSent, deliver, read_server
from mainstem.public_api import workspaces
from mainstem.public_api.iam import invites, policies
from mainstem.rest import grants
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import decode
from mainstem.settings import Settings


def invite(settings: Settings, email: str, asked: Sequence[str]) -> int:
    """Invite somebody with these roles, or renew an invite; prints the token that accepts it, and mails it where a
    mail server is set. Raises InputInvalid for what is no address, and Conflict for a user."""
    address = decode({"email": email}, invites.Invite).email
    with opened(settings, writes=True) as folder:
        now, wanted = app.utc_now(), roles.asked_for(folder, asked)
        made = invites.invite(folder.db, folder.vault, folder.workspace_id, address, wanted, now)
        record(folder, "Non-Segment User Invited to Workspace", "INVITE", made.id, made.email)
        for policy in made.change.created:
            record(folder, "Policy Created", "POLICY", policy.id, f"{policy.role.name} of {made.email}")
        letter = invites.letter(workspaces.name_of(folder.db, folder.workspace_id), made, now)
    sys.stdout.write(f"{made.token}\n")
    sys.stderr.write(f"{made.email} is invited for {invites.LIFETIME.days} days; the token above accepts.\n")
    return _mail(settings, letter)


def _mail(settings: Settings, letter: Letter) -> int:
    """Send the letter; the invite holds without it, and so the exit code is 0."""
    if settings.smtp_url:
        try:
            deliver(read_server(settings.smtp_url), settings.mail_from, letter)
        except NotSent as error:
            sys.stderr.write(f"mainstem: no mail was sent: {error}\n")
    return 0


def accept(settings: Settings, named: str, name: str) -> int:
    """Make the invited person with this address or token a user; exit code 1 when there is no such invite."""
    with opened(settings, writes=True) as folder:
        now = app.utc_now()
        row = invites.find_pending(folder.db, folder.vault, folder.workspace_id, named, now)
        if row is not None:
            invites.accept(folder.db, row, name, now)
            record(folder, "User Invite Accepted", "USER", row.id, row.email)
    if row is None:
        what = "token" if named.startswith(invites.TOKEN_PREFIX) else "address"
        sys.stderr.write(f"mainstem: there is no pending invite with this {what}\n")
        return 1
    sys.stdout.write(f"{row.email} is a user now, with id {row.id}.\n")
    return 0


def show_all(settings: Settings) -> int:
    """Print users and pending invites with their roles and groups."""
    with opened(settings, writes=False) as folder:
        known = select(grants.users).where(grants.users.c.workspace_id == folder.workspace_id)
        found = folder.db.execute(known.order_by(grants.users.c.seq)).all()
        pending = invites.pending(folder.workspace_id, app.utc_now()).order_by(grants.invites.c.seq)
        invited = folder.db.execute(pending).all()
        may = _powers(folder, [*found, *invited])
    sys.stdout.write(f"{'ID':<24}{'STATE':<40}{'EMAIL':<32}MAY\n")
    for row in found:
        sys.stdout.write(f"{row.id:<24}{'user':<40}{row.email:<32}{may[row.id]}\n")
    for row in invited:
        state = f"invited until {moment_text(row.expires_at)}"
        sys.stdout.write(f"{row.id:<24}{state:<40}{row.email:<32}{may[row.id]}\n")
    return 0


def _powers(folder: Open, people: Sequence[Row[tuple[object, ...]]]) -> dict[str, str]:
    """What each of them may do and which groups they are in, in words."""
    ids = [row.id for row in people]
    granted = policies.policies_of(folder.db, folder.workspace_id, ids)
    member, group = grants.group_members.c, grants.user_groups.c
    joined = select(member.member_id, group.name).join_from(
        grants.group_members, grants.user_groups, member.group_id == group.id
    )
    groups: dict[str, list[str]] = {}
    for row in folder.db.execute(joined.where(member.member_id.in_(ids)).order_by(group.seq)):
        groups.setdefault(row.member_id, []).append(f"group {printable(row.name)}")
    return {each: "; ".join([roles.described(granted[each]), *groups.get(each, [])]) for each in ids}
