"""Each engine's int8 on networks whose defect is known, with the project's equalisation and without.

./run.sh benchmark engines [--defects NAME...] [--seeds N] [--images N] [--rows NAME...] [--out DIR]
"""
