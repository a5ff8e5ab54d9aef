"""What the harness itself costs: its timed loop around a null model, and its path of the data.

    ./run.sh benchmark overhead              # the bundled record and one of 500 x 375 JPEGs

``loop.py`` and ``data_path.py`` are what workers do, under the harness's thread environment;
``report.py`` says which targets are met.
"""
