"""From facts about a text and a machine to a plan. Pure functions, which can be tested without training.

base_plan, plan, tuning_plan      every hyperparameter of a run, its file, its settings
facts, tuning_facts               the facts about text, model and machine that a plan is computed from
planner, tuning_planner           facts and the user's wishes -> plan
search                            the shape with the lowest expected loss at the end of the time
cost, memory, tuning_memory       the seconds and bytes of a training step
expected_loss, forecast           the expected loss, time and memory of a plan
evaluations, schedule             when to evaluate; the learning rate over a run
"""
