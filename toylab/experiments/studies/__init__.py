"""Studies: a question, its grid of runs, and a table that answers it. Each is one command that can be stopped and
started again."""
