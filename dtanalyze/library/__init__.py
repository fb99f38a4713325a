"""What the command line does, for a Python program or a notebook.

`results` are the answers, `words` what may be written where the command line takes words, `asking` the questions whose
answer is a verdict, `tools` the other commands. Like the command line it reads files; like it, one question gives several
results.
"""
