"""Evaluations on the validation split: when they run and how many tokens they use, so that they stay cheap.

Evaluations during a run use a fixed sample of the split, spread evenly over it: enough to see which
weights are the best. The final evaluation measures the best weights on the whole split.
"""

from __future__ import annotations

from homespun.planning.base_plan import BasePlan

EVALUATIONS = 10  # evaluations during a run, where the plan does not set evaluate_every
SHARE_OF_EVALUATIONS = 0.03  # of the run's time for all evaluations during it
SHARE_OF_FINAL_EVALUATION = (
    0.1  # of the run's time for the final evaluation; only texts of many MB reach this limit
)
FEWEST = 8_192  # tokens: fewer give too noisy an estimate of the loss
MOST_FINAL_EVAL_TOKENS = 2_000_000  # tokens; `homespun evaluate` uses the whole split

TRAINING_COST = 3  # time of training on a token / time of evaluating it


def eval_tokens(trained: int, val_tokens: int) -> int:
    """Tokens of one evaluation during a run that trains on `trained` tokens; 0 = the whole validation split.

    >>> eval_tokens(4_500_000, 111_540), eval_tokens(50_000_000, 111_540)
    (40500, 0)
    """
    affordable = max(FEWEST, int(SHARE_OF_EVALUATIONS * TRAINING_COST * trained / EVALUATIONS))
    return affordable if affordable < val_tokens else 0


def final_eval_tokens(plan: BasePlan, val_tokens: int) -> int:
    """Tokens of the final evaluation: the whole split, unless that takes long compared with training.

    A run whose evaluations all use the whole split does so at the end, too.
    """
    if not plan.eval_tokens:
        return val_tokens
    trained = plan.steps * plan.tokens_per_step
    affordable = max(FEWEST, plan.eval_tokens, int(SHARE_OF_FINAL_EVALUATION * TRAINING_COST * trained))
    return min(val_tokens, MOST_FINAL_EVAL_TOKENS, affordable)


def final_evaluations(plan: BasePlan, val_tokens: int) -> float:
    """The time of the final evaluation, in units of one evaluation during the run."""
    return final_eval_tokens(plan, val_tokens) / min(val_tokens, plan.eval_tokens or val_tokens)


def evaluation_is_due(plan: BasePlan, step: int) -> bool:
    """Whether an evaluation follows step number `step`. A replay evaluates after the same steps."""
    if step >= plan.steps or step in plan.extended:
        return True
    if plan.evaluate_every:
        return step % plan.evaluate_every == 0
    return int(plan.progress(step) * EVALUATIONS) > int(plan.progress(step - 1) * EVALUATIONS)


def evaluations_to_come(plan: BasePlan, step: int) -> int:
    """The number of evaluations after `step` and before the final one."""
    if plan.evaluate_every:
        return max(0, (plan.steps - 1) // plan.evaluate_every - step // plan.evaluate_every)
    return max(0, EVALUATIONS - 1 - int(plan.progress(step) * EVALUATIONS))
