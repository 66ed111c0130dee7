"""What the commands of `python -m moa_compile` share. Errors are one numbered line and a help line
on stderr; search/codes.py has the codes and the exit statuses.

Nothing here imports torch before a command runs.
"""
