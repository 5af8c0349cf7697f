"""Training: carries out a plan and leaves a run folder.

loop, objective, world      the training loop; what it trains for; the processes that agree on it
run, recipe, resume, lock   the run folder: its files, resume points, and the lock that one process holds
extension                   continuing a run that has ended
same_run                    several processes have the same text and plan
optimizer, muon, adamw      the updates of the parameters
compiled, compile_beside    torch.compile, in a process of its own; compile_options: how it is asked
grains                      the same gradient to the bit on any number of processes
clock, measured_speed       timing: of a run, and of this machine for the planner
device_check                what a GPU computes, held against the processor
watcher, log_lines          what a run reports to a terminal, a notebook, a log
curve, card, interrupt      the plot of the losses, the model card, Ctrl-C
"""
