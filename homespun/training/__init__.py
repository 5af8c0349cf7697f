"""Training: a plan is made, and carried out, and a run folder is what remains.

`planner` decides, `plan` is what it decided (`course` is what it shares with other plans), `loop` is
the training itself, `run` fills the folder. `muon`, `optimizer`, `schedule` and `compiled` are what the
loop is made of; `watcher` is how a terminal or a notebook looks on.

What the planner goes by: `facts` about text and machine (`calibrate` measures it), `cost` says what
a step takes, `expectation` what loss comes of it, `search` weighs the shapes, `forecast` sums it up.
"""
