"""From facts about a text and a machine to a plan: pure functions, so that they are tested without training.

base_plan, plan, tuning_plan      every hyperparameter of a run, its file, its settings
facts, tuning_facts               what a plan rests on
planner, tuning_planner           facts and wishes -> plan
search                            the shape with the lowest expected loss at the end of the time
cost, memory, tuning_memory       what a step takes: seconds and bytes
expected_loss, forecast           what the plan comes to
evaluations, schedule             when to evaluate; the learning rate over a run
"""
