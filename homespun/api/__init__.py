"""The verbs as functions: what the commands do, for a program or a notebook.

>>> import homespun
>>> run = homespun.train("book.txt", steps=500)       # doctest: +SKIP
>>> print(run.generate("Once"))                       # doctest: +SKIP

`language_model` is what there is to do with a model, `making` makes one, `planning` says what
that would be, and `preparing` is the way from what was asked for to what a run needs.
"""
