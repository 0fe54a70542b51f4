"""The function's code as the package `function`, for processes that get the search path of the worker.

The processes of multiprocessing and its like do; in the worker itself the package is made without this file.
"""

import os
import sys

# The code is the entry behind the one that led here.
__path__ = [sys.path[sys.path.index(os.path.dirname(os.path.dirname(__file__))) + 1]]
