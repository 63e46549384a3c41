"""Many files, resumably: a ledger of what became of each, executors that scan them, and the combination at the end."""
