"""Settings of the worker processes of a Ray that one job starts; each imports this before it is given work.

Python looks for garbage after each 700 new objects, which takes a fifth of the time of importing torch and Ray Data.
"""

import gc

COLLECT_AFTER = 50_000  # new objects, as in the process of a command

gc.set_threshold(COLLECT_AFTER)
