"""The tutorial's published procedure against this harness, on the same workload in one command.

    ./run.sh benchmark vs_published                    # the bundled workload, all ten methods
    ./run.sh benchmark vs_published workload=full      # resnet50_v2 at 224 x 224, random images
    ./run.sh benchmark vs_published workload=memory    # the same, 10,000 images, two fast methods

``published.py`` is the procedure, written from its description. ``published_side.py`` runs it and
``harness_side.py`` the harness, each as a ``Side``. ``comparison.py`` says what is equal and which
targets are met, ``report.py`` writes that down.
"""
