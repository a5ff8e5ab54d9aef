"""Start a module of this project, by this file's path: bootstrap.py MODULE [ARGUMENTS].

Python puts the folder of the file that it starts, or with -m the working directory, before all else
that it imports from; a numpy.py there would run in place of NumPy. That entry goes, and the project's
folder comes instead. Interpreters from 3.11 on have a flag for the first half of this.
"""

import sys

if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):  # with it Python made no such entry
        del sys.path[0]
    sys.path.insert(0, __file__.rpartition("/harness/")[0])
    del sys.argv[0]

    import runpy

    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
