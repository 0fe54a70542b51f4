"""The function's code as the package `function`, in processes with the worker's search path.

Those of multiprocessing have it. The worker itself creates the package without this file.
"""

import os
import sys

# The code's folder follows this package's on the search path.
__path__ = [sys.path[sys.path.index(os.path.dirname(os.path.dirname(__file__))) + 1]]
