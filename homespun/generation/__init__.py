"""A model's probabilities become text: ids, then pieces in whole characters, then a string.

The ladder, simplest first:

    settings, request   what is asked for
    sampling            choosing a token: plain functions of logits
    window, pages       what of a long text the model sees; where keys and values are kept
    reading             how the logits come: from the whole window, or from what was kept
    torch_step, native  a step for many texts at once, in PyTorch and in C++
    stepping            the quicker of them, and a whole model computed by it
    writing, engine     a text on its way; many of them at once
    stopping, text      strings that must not appear; pieces and strings
    constraint          what a text may be: a regular expression, a JSON schema
    background          the engine for several threads
    chat                a talk, or a text written in turns
    insight             how sure the model was of each token, and what it looked at
"""
