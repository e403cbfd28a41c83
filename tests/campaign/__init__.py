"""The kill campaign: runs that are killed over and over, and must end as if nothing had happened.

`python -m tests.campaign` kills, `python -m tests.campaign --table` shows what came of it;
`docs/survival.md` says how to read it.
"""
