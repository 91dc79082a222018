"""Who belongs to a workspace, and what each of them may do: users, invites, groups, and the roles granted to them.

For Workspace Owners alone, reading too. Source: Public API reference, tags "IAM Users", "IAM Groups" and "IAM Roles"
(22 operations); product guide, "Access Management".
"""
