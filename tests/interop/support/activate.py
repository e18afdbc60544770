"""Becomes a program whose sockets are open already, as systemd's service manager starts it: from descriptor 3 on, named
by the environment.

    activate.py NAME:NAME... DESCRIPTOR,DESCRIPTOR... PROGRAM ARGUMENT...
"""

import fcntl
import os
import sys

names, passed, *argv = sys.argv[1:]
# Out of the way first: one may be where another is to go.
aside = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in passed.split(",")]
for place, number in enumerate(aside, 3):
    os.dup2(number, place)
os.closerange(3 + len(aside), 1000)
told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(aside)), "LISTEN_FDNAMES": names}
os.execve(argv[0], argv, {**os.environ, **told})
