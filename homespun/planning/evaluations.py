"""Looks at the validation text: when, and how much of it, so that they cost little and still tell the truth.

On the way a look reads only some of the text, spread evenly over it, always the same: enough to see
which weights are the best. At the end the best ones are held against all of it.
"""

from __future__ import annotations

from homespun.planning.base_plan import BasePlan

EVALUATIONS = 10  # over a run, where the plan does not say how often
SHARE_OF_EVALUATIONS = 0.03  # of the time that all looks on the way may take
SHARE_OF_FINAL_EVALUATION = 0.1  # of the time that the reading at the end may take; only texts of many MB notice
FEWEST = 8_192  # tokens: fewer would say little about so many weights
MOST_FINAL_EVAL_TOKENS = 2_000_000  # tokens; `homespun evaluate` reads them all

TRAINING_COST = 3  # times what reading a token costs


def eval_tokens(learnt: int, val_tokens: int) -> int:
    """Tokens that a look reads in a run that learns from `learnt` tokens; 0 = all that there are.

    >>> eval_tokens(4_500_000, 111_540), eval_tokens(50_000_000, 111_540)
    (40500, 0)
    """
    affordable = max(FEWEST, int(SHARE_OF_EVALUATIONS * TRAINING_COST * learnt / EVALUATIONS))
    return affordable if affordable < val_tokens else 0


def final_eval_tokens(plan: BasePlan, val_tokens: int) -> int:
    """Tokens that are read at the end: all, as long as that does not take long beside the training.

    A run that reads all at every look does so at the end, too.
    """
    if not plan.eval_tokens:
        return val_tokens
    learnt = plan.steps * plan.tokens_per_step
    affordable = max(FEWEST, plan.eval_tokens, int(SHARE_OF_FINAL_EVALUATION * TRAINING_COST * learnt))
    return min(val_tokens, MOST_FINAL_EVAL_TOKENS, affordable)


def final_evaluations(plan: BasePlan, val_tokens: int) -> float:
    """How many looks the reading at the end takes the time of."""
    return final_eval_tokens(plan, val_tokens) / min(val_tokens, plan.eval_tokens or val_tokens)


def evaluation_is_due(plan: BasePlan, step: int) -> bool:
    """Whether the validation text is looked at after so many steps; a replay looks after the same ones."""
    if step >= plan.steps or step in plan.extended:
        return True
    if plan.evaluate_every:
        return step % plan.evaluate_every == 0
    return int(plan.progress(step) * EVALUATIONS) > int(plan.progress(step - 1) * EVALUATIONS)


def evaluations_to_come(plan: BasePlan, step: int) -> int:
    """Looks between that step and the last one."""
    if plan.evaluate_every:
        return max(0, (plan.steps - 1) // plan.evaluate_every - step // plan.evaluate_every)
    return max(0, EVALUATIONS - 1 - int(plan.progress(step) * EVALUATIONS))
