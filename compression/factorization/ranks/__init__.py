"""How ranks are chosen: one rule per file."""
