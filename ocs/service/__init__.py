"""The running server: Diameter at the edge, batches in the middle, one thread for the store.

``diameter`` and ``peers`` speak to the clients, ``mapping`` and ``results`` translate, ``batcher``
collects what arrives while a commit is in flight, ``charging`` decides a batch on the store's
thread (``worker``), ``supervisor`` runs the timers, ``telemetry`` logs and counts. Twisted lives
here and nowhere deeper.
"""
