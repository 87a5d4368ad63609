"""Runs a program as from a terminal: at_a_terminal.py PROGRAM ARGUMENTS...

Its standard input is a terminal where nobody types. The image clients take any pipe or file they find there for image
data, and, where standard input is closed, sometimes the next file that happens to get its number.
"""

import os
import pty
import sys

ours, theirs = pty.openpty()
os.dup2(theirs, 0)
# The terminal lasts as long as the program: without its other end it would read as hung up.
os.set_inheritable(ours, True)
os.execvp(sys.argv[1], sys.argv[1:])
