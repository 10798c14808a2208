"""Measurements of the engine: each in a fresh process, gathered as rows of JSON.

``python -m benchmarks.engine [NAME ...]`` measures seqrec alone, a module a name;
``python -m benchmarks.engine.peers [NAME ...]`` measures it beside other libraries. Both write
``benchmarks/results/``, the plots there, and the tables of ``benchmarks/README.md``.

    machine    what the figures were taken on; memory of this process
    measure    a module's ``probe`` in a process of its own
    rows       rows, targets, and the files that hold them
    prepared   the prepared folders, made once
    steps      a training step as the Trainer makes it
    ratings    a simulated ratings.csv of any length
    plots, page
"""
